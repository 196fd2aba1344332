"""XGBoost's tracker in a process of its own, on the scheduler's machine.

It introduces the workers to each other. When one of them dies, XGBoost (3.2) may end the whole process of its tracker,
and `xgboost.dask` starts that inside the scheduler: the cluster would be gone, and with local workers the training.
"""

import asyncio
import json
import os
import sys
from threading import Thread
from typing import Any, Final

_WATCH_S: Final = 5.0


async def started(workers: int, hosts: list[str], port: int, timeout_s: int) -> dict[str, Any]:
    """Start a tracker on the first of the hosts that it can listen on, and return what workers need to find it.

    `port` 0 is any that is free, `timeout_s` 0 none.

    Raises:
        RuntimeError: it cannot be started; standard error tells why.
    """
    command = (sys.executable, "-m", __name__, str(workers), ",".join(hosts), str(port), str(timeout_s))
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None  # noqa: S101 (it was asked for)
    line = await child.stdout.readline()
    if not line:
        message = f"XGBoost's tracker ended with {await child.wait()}"
        raise RuntimeError(message)
    return dict(json.loads(line))


def main(workers: str, hosts: str, port: str, timeout_s: str) -> None:
    """Start a tracker, say where it is, and live as long as it does, or as the process that asked for it."""
    parent = os.getppid()
    tracker = _listening(int(workers), hosts.split(","), int(port), int(timeout_s))
    sys.stdout.write(json.dumps(tracker.worker_args()) + "\n")
    sys.stdout.flush()
    over = Thread(target=tracker.wait_for, daemon=True)
    over.start()
    while over.is_alive() and os.getppid() == parent:
        over.join(_WATCH_S)


def _listening(workers: int, hosts: list[str], port: int, timeout_s: int) -> Any:  # noqa: ANN401 (untyped library)
    from xgboost.core import XGBoostError  # noqa: PLC0415 (heavy)
    from xgboost.tracker import RabitTracker  # noqa: PLC0415 (heavy)

    for host in hosts:
        tracker = RabitTracker(n_workers=workers, host_ip=host or None, port=port, sortby="task", timeout=timeout_s)
        try:
            tracker.start()
        except XGBoostError:
            if host == hosts[-1]:
                raise
        else:
            return tracker
    raise AssertionError


if __name__ == "__main__":
    main(*sys.argv[1:])
