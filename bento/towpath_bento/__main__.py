"""`python -m towpath_bento --service bento/service.py --port 3000 --workers 2`: serve on this machine's loopback.

The process becomes BentoML's own supervisor: signals go straight to it, and nothing stands between.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from towpath_bento.follower import clear_states
from towpath_gitops.records.pointer import POINTER_VARIABLE

HOST: Final = "127.0.0.1"
GRACE_S: Final = 5  # how long requests in flight may take to finish after TERM


def main() -> None:
    """Replace this process by the server."""
    parser = argparse.ArgumentParser(prog="python -m towpath_bento", description="Serve a model on this machine.")
    parser.add_argument("--service", type=Path, required=True, help="the file that holds `service`")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--host", default=HOST, help="by default loopback only; an image listens everywhere")
    options = parser.parse_args()
    if not options.service.is_file():
        parser.error(f"there is no file {options.service}")
    environment = os.environ | settings(options.port, options.workers)
    if POINTER_VARIABLE in environment:
        clear_states(Path(environment[POINTER_VARIABLE]))
    os.execve(sys.executable, command(options.service, options.port, options.host), environment)  # noqa: S606 (that is the purpose)


def command(service: Path, port: int, host: str = HOST) -> list[str]:
    """Return the command line of BentoML's server for the file `service`."""
    target = [f"{service.stem}:service", "--working-dir", str(service.parent.absolute())]
    listen = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", str(GRACE_S)]
    return [sys.executable, "-m", "bentoml", "serve", *target, *listen]


def settings(port: int, workers: int) -> dict[str, str]:
    """Return the environment variables that keep BentoML to itself: no telemetry, and a home for this service alone.

    Services must not share a home: each empties the folder of its metrics there when it starts.
    """
    pointer = os.environ.get(POINTER_VARIABLE)
    home = (
        Path(pointer).parent / "bentoml" / str(port) if pointer else Path(tempfile.mkdtemp(prefix="towpath-bentoml-"))
    )
    return {
        "BENTOML_HOME": str(home.absolute()),
        "BENTOML_DO_NOT_TRACK": "True",
        "TOWPATH_WORKERS": str(workers),
    }


if __name__ == "__main__":
    main()
