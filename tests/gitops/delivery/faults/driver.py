"""Runs reconcilers and promoters that die, stop or meet a broken disk at a moment of one's choice.

One process imports everything and forks for each run, because an interpreter's start would cost more than the run. The
moments are those at which Python itself reports an effect (PEP 578): before a file is opened for writing, made,
renamed or removed, and before a process is started or ended; besides them each `fsync` and each step's beginning. The
moment after an effect is the moment before the next. No line of the code under test knows about it.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from towpath_gitops.delivery import lease
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.delivery.registry import Registry, load_mlflow
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.errors import NotFoundError, TowpathError
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.proposal import propose_promotion
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_FILES = frozenset({"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate"})
# Git commands that write; the others are met as part of the step that asks.
_GIT_WRITES = frozenset({"fetch", "push", "update-ref", "hash-object", "update-index", "write-tree", "commit-tree"})
_GIT_OPTIONS = frozenset({"-c", "-C"})  # each takes the next word
_fsync = os.fsync


@dataclass
class Moments:
    """Counts the moments of one run, and lets the fault happen at the ordered one."""

    root: Path
    fault: str | int | None  # a signal's name, an errno, or nothing
    at: int
    report: Callable[..., None]
    lasting: bool = False  # an errno: also every effect from then on
    step: str = "begin"
    count: int = 0
    busy: bool = field(default=False)

    def begin_step(self, name: str) -> None:
        """Remember in which step the next moments lie; its beginning is one."""
        self.step = name
        self.meet("begins")

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Hear of an effect before it happens."""
        if self.busy:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES:
                self._file("open", path)
        elif event in _FILES:
            self._file(event.removeprefix("os."), arguments[0])
        elif event == "subprocess.Popen":
            verb = _verb(arguments[1])
            if verb in _GIT_WRITES:
                self.meet(f"git {verb}")
        elif event == "os.posix_spawn" or (event == "os.kill" and arguments[1]):
            self.meet(event.removeprefix("os."))

    def fsync(self, descriptor: int) -> None:
        """Sync a file: Python does not report that."""
        self.meet("fsync")
        _fsync(descriptor)

    def meet(self, name: str) -> None:
        """Count a moment; a fault that is an errno happens to the effect, a signal to the process."""
        self.busy = True
        self.report(moment=f"{self.step}: {name}")
        self.count += 1
        due = self.fault is not None and (self.count - 1 == self.at or (self.lasting and self.count > self.at))
        if due and isinstance(self.fault, str):
            os.kill(os.getpid(), getattr(signal, self.fault))
        self.busy = False
        if due and isinstance(self.fault, int) and name != "begins":
            raise OSError(self.fault, os.strerror(self.fault))

    def _file(self, what: str, path: object) -> None:
        if isinstance(path, str | os.PathLike):
            place = Path(path).absolute()
            made_before = what == "mkdir" and place.is_dir()
            if place.is_relative_to(self.root) and not made_before:
                self.meet(f"{what} {place.relative_to(self.root)}")


def _verb(command: list[str]) -> str:
    words = iter(map(str, command[1:]))
    for word in words:
        if word in _GIT_OPTIONS:
            next(words)
        elif not word.startswith("-"):
            return word
    return str(command[0])


class Shelf:
    """Releases without a registry: a proposal reads only their evidence, and these have none yet."""

    def find(self, model: str, selector: str) -> Release:
        """Know no release."""
        raise NotFoundError(f"No release {selector} of {model}")

    def fetch(self, release: Release, store: Path) -> Path:
        """Hold no artifact."""
        raise NotFoundError(f"No artifact of {release} for {store}")

    def evidence(self, _: Release) -> Mapping[Kind, Evidence]:
        """Hold no evidence."""
        return {}

    def signature(self, _: Release) -> bytes | None:
        """Hold no signature."""
        return None

    def images(self, _: Release) -> Sequence[ImageRecord]:
        """Hold no image."""
        return ()


def _reconcile(order: Mapping[str, Any], moments: Moments) -> dict[str, Any]:
    late_s = order.get("late_s", 0.0)

    def make_target(repository: Repository, deployment: Deployment) -> LocalTarget:
        target = LocalTarget.of(repository, deployment)
        target.command = order["command"]
        target.lease.clock = target.clock = lambda: time.time() + late_s
        return target

    outcome = reconcile(
        Repository(Path(order["root"])),
        Registry(order["tracking_uri"]),
        order["environment"],
        order["model"],
        targets={"local": make_target},
        deadline_s=60.0,
        sleep=lambda _: time.sleep(0.02),
        clock=lambda: datetime.now(UTC) + timedelta(seconds=late_s),
        progress=moments.begin_step,
    )
    return {"changed": outcome.changed, "entries": len(outcome.entries), "notes": outcome.notes}


def _propose(order: Mapping[str, Any], _: Moments) -> dict[str, Any]:
    repository = Repository(Path(order["root"]))
    desk = Desk(repository, LocalForge(repository), Shelf(), Ledger(repository))
    release = Release.model_validate_json(order["release"])
    pull = propose_promotion(desk, environment=order["environment"], release=release, reason="weekly")
    return {"number": pull.number}


TASKS: Final[Mapping[str, Callable[[Mapping[str, Any], Moments], dict[str, Any]]]] = {
    "reconcile": _reconcile,
    "propose": _propose,
}


@contextmanager
def _limited(order: Mapping[str, Any]) -> Iterator[None]:
    """Let the kernel itself refuse: files beyond a size in bytes, or more open files than now and some."""
    spare, size = order.get("spare_files"), order.get("file_bytes")
    free = os.dup(0)
    os.close(free)
    limits = {} if spare is None else {resource.RLIMIT_NOFILE: free + spare}
    limits |= {} if size is None else {resource.RLIMIT_FSIZE: size}
    before = {limit: resource.getrlimit(limit) for limit in limits}
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, before[limit][1]))
    try:
        yield
    finally:
        for limit, values in before.items():
            resource.setrlimit(limit, values)


def _child(order: Mapping[str, Any], path: str) -> None:
    """Do one task in this process, which ends with it, and report moments and end to a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def report(**what: object) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # what is reported is no part of the run
        os.write(descriptor, json.dumps(what).encode() + b"\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    root, lasting = Path(order["root"]).absolute(), order.get("lasting", False)
    moments = Moments(root, order.get("fault"), order.get("at", -1), report, lasting)
    lease._LOCK_S = order.get("lock_s", lease._LOCK_S)
    os.fsync = moments.fsync
    sys.addaudithook(moments.audit)
    try:
        with _limited(order):
            done = TASKS[order["task"]](order, moments)
        moments.busy = True
        report(done=done)
    except (TowpathError, OSError) as error:
        moments.busy = True
        report(error=type(error).__name__, what=str(error))
    os._exit(0)


def _wait(pid: int, path: str) -> dict[str, Any]:
    """Wait until a run has ended or stopped, and say how."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    state = "stopped" if os.WIFSTOPPED(status) else "killed" if os.WIFSIGNALED(status) else "ended"
    answer: dict[str, Any] = {"pid": pid, "state": state, "moments": []}
    for line in Path(path).read_bytes().splitlines():
        said = json.loads(line)
        if "moment" in said:
            answer["moments"].append(said["moment"])
        else:
            answer |= said
    if state == "ended" and status:
        answer["error"] = f"exit {status}"
    return answer


def main(folder: str) -> None:
    """Obey orders until there are no more."""
    load_mlflow().MlflowClient  # noqa: B018 (loads it, once for all runs)
    import mlflow.store.model_registry.sqlalchemy_store  # noqa: PLC0415 (as above)
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401, PLC0415 (as above)

    reports: dict[int, str] = {}
    gc.freeze()  # what a fork only reads need not be copied
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        if order["do"] == "start":
            path = str(Path(folder, str(number)))
            pid = os.fork()
            if pid == 0:
                _child(order, path)
            reports[pid] = path
            answer: dict[str, Any] = {"pid": pid}
        elif order["do"] == "warm":
            answer = _reconcile(order, Moments(Path(order["root"]), None, -1, lambda **_: None))
        else:
            if order["do"] == "resume":
                with suppress(ProcessLookupError):
                    os.kill(order["pid"], signal.SIGCONT)
            answer = _wait(order["pid"], reports[order["pid"]])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
