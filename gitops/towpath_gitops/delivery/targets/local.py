"""The local target: a service process on this machine's loopback that follows a pointer file.

A new release is an atomic swap of the pointer: every worker loads it beside the old one and switches, so that no
request is lost. The process is restarted only when its code, port or number of workers changes.

What lies in this target's folder is derived from what runs. When the folder is lost while the service serves what is
wanted, the next reconcile writes it anew and changes nothing: how the process was started is read from the process, the
pointer's generation and lanes from what it answers, the code from git. Lost are the log and `/metrics` (it answers 500)
until the process is started again, and the memory that some code did not start: that is tried once more. How an
experiment shares its requests the service does not say, so that a pointer with one is written as a new generation.
"""

import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self, TypeVar

from towpath_gitops import layout
from towpath_gitops.delivery import processes
from towpath_gitops.delivery.lease import Lease
from towpath_gitops.delivery.loopback import HOST, Answer, ask
from towpath_gitops.delivery.targets.base import Done, Failed, Observed, Result, Step, Version, Waiting, Wanted
from towpath_gitops.delivery.targets.local_process import LOG, SERVICE, Service, ServiceProcess
from towpath_gitops.errors import DeliveryError, InvalidFileError, TowpathError, UnavailableError
from towpath_gitops.files import scratch, write_atomically
from towpath_gitops.records.base import Record
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import (
    EARLIER,
    POINTER,
    LaneName,
    LanePointer,
    Pointer,
    Split,
)
from towpath_gitops.repository import Repository

GOOD: Final = "converged.json"  # the last pointer that every worker had loaded
GOOD_CODE: Final = "converged-code"  # the hash of the code that converged last
FAILED_CODE: Final = "failed-code"  # the hash of code that ended instead of serving
CODE: Final = "code"
BENTO: Final = "bento"
COMMAND: Final = (sys.executable, "-m", "towpath_bento")

_STOP_S = 20.0  # to finish the requests in flight; then it is killed
_OLD_ERROR_S = 10.0  # how long a worker may go on reporting the error of the pointer before

_Record = TypeVar("_Record", bound=Record)


@dataclass
class LocalTarget:
    """One model in one environment, served on this machine."""

    repository: Repository
    environment: str
    model: str
    port: int
    workers: int
    command: Sequence[str] = COMMAND
    clock: Callable[[], float] = time.time
    lease: Lease = field(init=False)
    process: ServiceProcess = field(init=False)
    _error_before: str | None = field(default=None, init=False)
    _stop_asked_s: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Prepare the lease on this target's folder, and what is known of its process."""
        self.lease = Lease(self.folder, clock=self.clock)
        self.process = ServiceProcess(self.folder, layout.state(self.repository.root, "bentoml").absolute())

    @classmethod
    def of(cls, repository: Repository, deployment: Deployment) -> Self:
        """Return the target that an environment file describes."""
        target = deployment.target
        return cls(repository, deployment.environment, deployment.model, target.port, target.workers)

    @classmethod
    def left_in(cls, repository: Repository) -> Iterator[Self]:
        """Yield a target for every service that was started in this clone, whatever environment files say by now."""
        for path in sorted(layout.state(repository.root, "local").glob(f"*/*/{SERVICE}")):
            target = cls(repository, path.parent.parent.name, path.parent.name, port=1, workers=1)
            service = target._read(SERVICE, Service)
            yield replace(target, port=service.port) if service else target

    @property
    def folder(self) -> Path:
        """Where this target keeps its pointer, its process and its log."""
        return layout.local_target(self.repository.root, self.environment, self.model).absolute()

    def observe(self) -> Observed:
        """Return what runs now: the process, and what the service says of itself."""
        version = self._version()
        ours = version if self._is_ours(version) else None
        started = self._read(SERVICE, Service)
        details = {
            "pid": self.process.pid(),
            "port": self.port,
            "address": f"http://{HOST}:{self.port}",
            "started": started.started.isoformat() if started else None,
        }
        return Observed(ours is not None, ours, details)

    def serves(self, wanted: Wanted) -> bool:
        """Return whether the service says so, and was started as `wanted` asks; see `Target.serves`."""
        pointer, service = self._read(POINTER, Pointer), self._read(SERVICE, Service)
        if pointer is None or service is None or (pointer.lanes, pointer.split) != (wanted.lanes, wanted.split):
            return False
        code = self.repository.tree(wanted.commit, BENTO)
        if (service.port, service.workers, service.code) != (self.port, self.workers, code):
            return False
        version = self._version()
        return self._is_ours(version) and version is not None and version.error is None and _follows(version, pointer)

    def ask(self, path: str, body: bytes | None = None, *, lane: LaneName = "champion") -> Answer:
        """GET a path of the service, or POST JSON to one of its lanes; see `Target.ask`."""
        return ask(self.port, path, body, probe=lane)

    def steps(self, wanted: Wanted) -> Sequence[Step]:
        """Return the steps: code, pointer, retire an outdated process, start one, wait until every worker follows."""
        code = self.repository.tree(wanted.commit, BENTO) or ""
        return (
            Step("export", lambda: self._export(wanted.commit, code)),
            Step("point", lambda: self._point(wanted.lanes, wanted.split)),
            Step("retire", lambda: self._retire(code)),
            Step("start", lambda: self._start(code)),
            Step("converge", self._converge),
        )

    def shift(self, to: LanePointer) -> Sequence[Step]:
        """Return the steps: the pointer names one release alone, and every worker follows; see `Target.shift`."""
        return (Step("shift", lambda: self._point({"champion": to}, None)), Step("converge", self._converge))

    def stop(self) -> None:
        """Stop the service, waiting for the requests in flight; nothing to stop is fine.

        Raises:
            DeliveryError: it does not end, even when killed.
        """
        until = self.clock() + 2 * _STOP_S
        while isinstance(self._ended(), Waiting):
            if self.clock() > until:
                raise DeliveryError(f"Process {self.process.pid()} does not end", hint=f"See {self.folder / LOG}")
            time.sleep(0.05)

    # --- steps -------------------------------------------------------------------------------------------------

    def _export(self, commit: str, code: str) -> Result:
        if not code:
            return Failed(InvalidFileError(f"Commit {commit[:12]} has no {BENTO}/ folder", why="It holds the service."))
        place = self.folder / CODE / code
        if place.is_dir():
            return Done()
        service = self.process.started()
        running = service is not None and service.code == code
        with scratch(place.parent, ".incoming-") as incoming:
            self.repository.export(commit, BENTO, incoming / code / BENTO)
            with self.lease.writing():
                (incoming / code).replace(place)
        return Done(f"code {code[:12]}", changed=not running)

    def _point(self, wanted: Mapping[LaneName, LanePointer], split: Split | None) -> Result:
        now = self._read(POINTER, Pointer)
        lanes = dict(wanted)
        version = self._version()
        self._error_before = version.error if version else None
        # Workers try again only what is pointed to anew: after an error the same pointer is written once more.
        if now and (now.lanes, now.split) == (lanes, split) and self._error_before is None:
            return Done()
        live = version.generation if version and self._is_ours(version) else 0
        if now is None and live and split is None and version and version.lanes == _releases(lanes):
            self._swap(Pointer(**self._place(live), lanes=lanes))  # only the file was lost
            return Done(f"generation {live} is pointed to again")
        place = self._place((now.generation if now else live) + 1)
        return self._swap(Pointer(**place, lanes=lanes, split=split, earlier=self._earlier(lanes)))

    def _earlier(self, lanes: Mapping[LaneName, LanePointer]) -> tuple[LanePointer, ...]:
        """Return what every worker had loaded before and is in none of these lanes, newest first."""
        good = self._read(GOOD, Pointer)
        before = (*good.lanes.values(), *good.earlier) if good else ()
        now = set(_releases(lanes).values())
        found = {each.release: each for each in reversed(before) if each.release not in now}
        return tuple(reversed(found.values()))[:EARLIER]

    def _place(self, generation: int) -> dict[str, object]:
        return {"model": self.model, "environment": self.environment, "generation": generation}

    def _swap(self, pointer: Pointer) -> Result:
        with self.lease.writing():
            write_atomically(self.folder / POINTER, pointer.model_dump_json(by_alias=True, indent=2) + "\n")
        return Done(f"generation {pointer.generation}", changed=True)

    def _retire(self, code: str) -> Result:
        """End a service that was started with another port, another number of workers, or from other code."""
        service = self.process.started()
        if service is None:  # whatever runs of ours then, nobody knows how it was started
            return self._ending() if self.process.pid() else Done()
        if (service.port, service.workers, service.code) == (self.port, self.workers, code):
            return self._restored()
        if service.port != self.port and _listens(self.port):  # it could not move there: let it serve where it is
            return Failed(self._foreign(self._version()))
        if code == self._text(FAILED_CODE) and self.process.pid():
            return Failed(
                DeliveryError(
                    f"The code {code[:12]} of {self.model} in {self.environment} did not start before",
                    why=f"The code that served before still serves. What was said then is in {self.folder / LOG}",
                    hint="Mend bento/ and merge it. To try the same code again: towpath down, then towpath reconcile",
                )
            )
        return self._ending()

    def _restored(self) -> Result:
        if self.process.is_forgotten():
            with self.lease.writing():
                self.process.remember()
        return Done()

    def _ending(self) -> Result:
        with self.lease.writing():  # who has lost the lease may not end what another has started
            return self._ended()

    def _ended(self) -> Result:
        """End the process that we started: politely, later by force."""
        pid = self.process.pid()
        if pid is None:
            self.process.forget()
            self._stop_asked_s = None
            return Done()
        if self._stop_asked_s is None:
            self._stop_asked_s = self.clock()
            processes.end(pid)
        elif self.clock() - self._stop_asked_s > _STOP_S:
            processes.end(pid, at_once=True)
        return Waiting(f"process {pid} to end")

    def _start(self, code: str) -> Result:
        if self.process.pid() and self._read(SERVICE, Service):
            return Done()
        in_the_way = self._in_the_way()
        if in_the_way:
            return in_the_way
        with self.lease.writing():
            self._spawn(code)
        return Done(f"service on port {self.port}", changed=True)

    def _in_the_way(self) -> Result | None:
        """Return what to do about whoever uses our port though no process of ours is known; None when it is free."""
        if not _listens(self.port):
            return None
        orphans = self.process.family()  # left behind by a service whose main process was killed
        if not orphans:
            return Failed(self._foreign(self._version()))
        with self.lease.writing():
            for pid in orphans:
                processes.end(pid, at_once=True)
        return Waiting(f"port {self.port} to become free")

    def _spawn(self, code: str) -> None:
        service = Service(port=self.port, workers=self.workers, code=code, started=datetime.now(UTC))
        self.process.spawn(service, self.command, self.folder / CODE / code / BENTO / "service.py")

    def _converge(self) -> Result:
        pointer = self._read(POINTER, Pointer)
        version = self._version()
        if pointer is None:
            return Failed(DeliveryError(f"{self.folder / POINTER} is gone", hint="towpath reconcile"))
        if version is None:
            return self._not_answering()
        if not self._is_ours(version):  # while it starts, our own service does not know yet whose it is
            return Waiting("the service to say who it is") if self.process.pid() else Failed(self._foreign(version))
        if _follows(version, pointer):
            self._remember(pointer)
            return Done(f"generation {pointer.generation} on {len(version.workers)} workers")
        if version.error and not self._may_be_old(version.error):
            return self._cannot_load(pointer, version.error)
        return Waiting(f"the workers to load generation {pointer.generation}")

    def _not_answering(self) -> Result:
        pid = self.process.number()
        if pid is None or processes.alive(pid):  # None: the child has not written it yet
            return Waiting("the service to answer")
        return Failed(
            DeliveryError(
                f"The service of {self.model} in {self.environment} has ended",
                why=f"The end of {self.folder / LOG}:\n{self.process.log_tail()}\n{self._fall_back()}",
                hint="Mend its cause, then: towpath reconcile",
            )
        )

    def _remember(self, pointer: Pointer) -> None:
        """Remember what every worker follows, and the code that they run: the way back, should the next one fail."""
        service = self._read(SERVICE, Service)
        code = service.code if service else None
        known = (self._read(GOOD, Pointer), self._text(GOOD_CODE)) == (pointer, code)
        if known and self._text(FAILED_CODE) != code:
            return
        with self.lease.writing():
            write_atomically(self.folder / GOOD, pointer.model_dump_json(by_alias=True) + "\n")
            if code:
                write_atomically(self.folder / GOOD_CODE, code)
            if code and self._text(FAILED_CODE) == code:
                (self.folder / FAILED_CODE).unlink()

    def _fall_back(self) -> str:
        """Start the code that served before, remember which did not start, and say so."""
        service, good = self._read(SERVICE, Service), self._text(GOOD_CODE)
        if service is None or good in {None, service.code}:
            return "Nothing serves here now."
        with self.lease.writing():
            write_atomically(self.folder / FAILED_CODE, service.code)
            self._spawn(str(good))
        return "The code that served before is started again."

    def _may_be_old(self, error: str) -> bool:
        """Return whether a worker may still be speaking of the pointer before: it says what it said then."""
        age_s = self.clock() - (self.folder / POINTER).stat().st_mtime
        return error == self._error_before and age_s < _OLD_ERROR_S

    def _cannot_load(self, pointer: Pointer, error: str) -> Result:
        """Point back to what was live, so that a worker that starts now finds a release that loads."""
        good = self._read(GOOD, Pointer)
        if good and good.lanes != pointer.lanes:
            self._swap(good.model_copy(update={"generation": pointer.generation + 1}))
        rest = "What served before still serves." if good else "Nothing served here before."
        return Failed(
            DeliveryError(
                f"The release declared for {self.environment} cannot be loaded",
                why=f"{error}\n{rest}",
                hint=f"towpath rollback --environment {self.environment}",
            )
        )

    # --- looking -----------------------------------------------------------------------------------------------

    def _version(self) -> Version | None:
        """Return what the service says of itself; None when nobody answers in time, empty when it speaks otherwise."""
        try:
            return parse_json(ask(self.port, "/version", timeout_s=2.0).body, Version, source="/version")
        except UnavailableError:
            return None
        except InvalidFileError:
            return Version(model="", environment="")

    def _is_ours(self, version: Version | None) -> bool:
        return version is not None and (version.model, version.environment) == (self.model, self.environment)

    def _foreign(self, version: Version | None) -> TowpathError:
        who = f"{version.model} in {version.environment}" if version and version.model else "another program"
        mine = f"{self.model} in {self.environment}"
        whose = "started by another clone of the repository" if self._is_ours(version) else f"not {mine}"
        return UnavailableError(
            f"Port {self.port} is taken",
            why=f"{who} answers there, {whose}.",
            hint=f"End it, or set another target.port for {self.environment} and merge that.",
        )

    def _read(self, name: str, record: type[_Record]) -> _Record | None:
        try:
            return parse_json((self.folder / name).read_bytes(), record, source=str(self.folder / name))
        except (FileNotFoundError, InvalidFileError):  # written atomically: a broken one is made anew
            return None

    def _text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return None


def _releases(lanes: Mapping[LaneName, LanePointer]) -> dict[str, str]:
    return {name: lane.release for name, lane in lanes.items()}


def _follows(version: Version, pointer: Pointer) -> bool:
    follows = version.converged and version.generation >= pointer.generation
    return follows and version.lanes == _releases(pointer.lanes)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex((HOST, port)) == 0
