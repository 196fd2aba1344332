"""A repository of many models in three environments, each of them served: what a platform team has after years.

Git history, environment files, ledger, pointers, ports and HTTP are real. Only the services are one small process that
listens on every port and answers `/version` from that place's pointer: thousands of BentoML services need more memory
than most machines have.
"""

import os
import resource
import selectors
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from towpath_gitops import layout
from towpath_gitops.delivery.desired import lane_pointer, terms
from towpath_gitops.delivery.entries import Entry, Event, Fact
from towpath_gitops.delivery.ledger import REF, Ledger
from towpath_gitops.delivery.recording import shown_digest, shown_marker
from towpath_gitops.delivery.registry import CHAMPION, Registry
from towpath_gitops.delivery.targets.local_process import SERVICE, Service
from towpath_gitops.delivery.verification import serving_digest
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import ChangeType, Deployment, PinnedRelease
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import dump_yaml
from towpath_gitops.records.pointer import POINTER, Pointer
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

ENVIRONMENTS: Final = ("dev", "staging", "production")
_REASON: Final = "the first release"
_BEGAN_S: Final = 1_760_000_000


def release_of(model: str, version: int = 1) -> Release:
    """Return a release that nobody trained."""
    digests = {name: digest_of([model, version, name]) for name in ("artifact", "input_schema", "data")}
    return Release(model=model, version=version, semver=f"1.{version}.0", code="c" * 40, **digests)


def environment_file(environment: str, release: Release, port: int, replaces: Release | None = None) -> bytes:
    """Return an environment file as a promotion writes it."""
    document = {
        "apiVersion": "towpath/v1",
        "kind": "Deployment",
        "model": release.model,
        "environment": environment,
        "release": PinnedRelease.of(release).plain(),
        "change": {"type": "promote", "from": replaces.id if replaces else None, "reason": _REASON},
        "target": {"kind": "local", "port": port, "workers": 1},
    }
    return dump_yaml(Deployment.model_validate(document).plain()).encode()


class Stream:
    """A history for `git fast-import`: thousands of commits in a second."""

    def __init__(self, ref: str, remote: Path, onto: str | None = None) -> None:
        """Write to a ref of a bare repository, from its beginning or after the commit `onto`."""
        self.ref, self.remote, self.onto, self.count = ref, remote, onto, 0
        self.parts: list[bytes] = []

    def commit(self, files: dict[str, bytes], message: str = "Declare") -> int:
        """Add a commit and return its number, from 1."""
        self.count += 1
        who = f"Ada <ada@example.org> {_BEGAN_S + self.count} +0000"
        head = f"commit {self.ref}\nmark :{self.count}\ncommitter {who}\ndata {len(message)}\n{message}\n"
        self.parts.append(head.encode())
        if self.count == 1 and self.onto:
            self.parts.append(f"from {self.onto}\n".encode())
        for path, data in files.items():
            self.parts.append(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
        return self.count

    def write(self) -> list[str]:
        """Write everything, and return the commits by number; the first place is empty."""
        marks = self.remote / "marks"
        command = ["git", "fast-import", "--quiet", "--force", f"--export-marks={marks}"]
        subprocess.run(command, cwd=self.remote, input=b"".join(self.parts), check=True)
        found = dict(line.split() for line in marks.read_text(encoding="utf-8").splitlines())
        marks.unlink()
        return ["", *(found[f":{number}"] for number in range(1, self.count + 1))]


def cloned(folder: Path) -> Repository:
    """Return a clone of the bare repository `folder`/forge.git, in which Ada works."""
    root = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(folder / "forge.git"), str(root)], check=True)
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "config", key, value], cwd=root, check=True)
    repository = Repository.discover(root)
    repository.fetch()
    return repository


def bare(folder: Path) -> Path:
    """Return a new bare repository `folder`/forge.git."""
    path = folder / "forge.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
    return path


def foundation(model: str, environments: Sequence[str] = ENVIRONMENTS, **settings: object) -> dict[str, bytes]:
    """Return the files of a model repository without environment files."""
    policy = {"apiVersion": "towpath/v1", "kind": "Policy", "environments": [{"name": name} for name in environments]}
    return {
        layout.MODEL: dump_yaml({"name": model, "gates": [{"metric": "roc_auc", "min": 0.5}]}).encode(),
        layout.POLICY: dump_yaml(policy | settings).encode(),
        "bento/service.py": b"# the service\n",
    }


@dataclass
class Fleet:
    """So many models, each served in every environment, applied and verified a moment ago."""

    repository: Repository
    registry: Registry
    services: int  # process id

    @classmethod
    def of(cls, folder: Path, models: int) -> Self:
        """Make one in an empty folder; the services run until `stop`."""
        remote = bare(folder)
        places = [(name, release_of(f"model-{number:05d}")) for name in ENVIRONMENTS for number in range(models)]
        listeners = _listeners(len(places))
        main = Stream("refs/heads/main", remote)
        main.commit(foundation("fleet"), "Begin")
        for (environment, release), listener in zip(places, listeners, strict=True):
            path = layout.environment_path(environment, release.model)
            main.commit({path: environment_file(environment, release, listener.getsockname()[1])})
        commits = main.write()
        repository, registry = cloned(folder), Registry(f"sqlite:///{folder}/mlflow.db")
        ledger = Stream(REF, remote)
        declared = dict(zip(places, commits[2:], strict=True))
        for name in ENVIRONMENTS:
            here = [(each, sha) for (place, each), sha in declared.items() if place == name]
            ledger.commit({f"{name}.jsonl": chain_of(repository, name, here)})
        ledger.write()
        repository.fetch()
        told = {name: Ledger(repository).standings(name) for name in ENVIRONMENTS}
        for (environment, release), listener in zip(places, listeners, strict=True):
            _set_up(repository, environment, release, listener.getsockname()[1])
            applied = told[environment][release.model][Event.APPLIED]
            _show(repository, registry, applied)
        folders = [layout.local_target(repository.root, name, release.model) for name, release in places]
        return cls(repository, registry, _serve(listeners, folders))

    def stop(self) -> None:
        """End the services."""
        os.kill(self.services, signal.SIGKILL)
        os.waitpid(self.services, 0)


def chain_of(
    repository: Repository,
    environment: str,
    told: Sequence[tuple[Release, str]],
    *,
    chained: bool = False,
    verifications: int = 1,
) -> bytes:
    """Return the ledger of an environment in which each release was applied at its commit, and verified.

    `chained` when each replaces the one before.
    """
    serving, by = serving_digest(repository.tree(repository.main(), "bento") or ""), terms(repository)
    lines: list[bytes] = []
    last: Entry | None = None
    replaced: str | None = None
    for release, commit in told:
        about = {"environment": environment, "model": release.model, "release": release.id, "commit": commit}
        about |= {"change": ChangeType.PROMOTE, "reason": _REASON, "author": "ada@example.org"}
        found = {"verdict": Verdict.PASS, "answers": release.artifact, "terms": by}
        for event, more in ((Event.APPLIED, {}), *[(Event.VERIFIED, found)] * verifications):
            now = {"time": datetime.now(UTC), "event": event, "serving": serving}
            last = Entry.following(last, Fact.model_validate(now | about | {"replaces": replaced} | more))
            lines.append(last.line())
        replaced = release.id if chained else None
    return b"".join(lines)


def _set_up(repository: Repository, environment: str, release: Release, port: int) -> None:
    """Write the files that a reconcile leaves behind."""
    folder = layout.local_target(repository.root, environment, release.model)
    folder.mkdir(parents=True)
    lanes = {"champion": lane_pointer(repository, release)}
    pointer = Pointer(model=release.model, environment=environment, generation=1, lanes=lanes)
    (folder / POINTER).write_text(pointer.model_dump_json(by_alias=True))
    code = repository.tree(repository.main(), "bento") or ""
    service = Service(port=port, workers=1, code=code, started=datetime.now(UTC))
    (folder / SERVICE).write_text(service.model_dump_json())


def _show(repository: Repository, registry: Registry, applied: Entry) -> None:
    """Write down that the registry shows what was applied."""
    marker = shown_marker(repository.root, applied.environment, applied.model)
    marker.parent.mkdir(parents=True, exist_ok=True)
    last = applied.environment == ENVIRONMENTS[-1]
    names = [applied.environment, CHAMPION] if last else [applied.environment]
    marker.write_text(shown_digest(registry, applied, names))


# --- the services ---------------------------------------------------------------------------------------------------


def _listeners(count: int) -> list[socket.socket]:
    """Return sockets that listen on free ports of the loopback."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 2 * count + 1000), most))
    listeners = []
    for _ in range(count):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        listener.setblocking(False)
        listeners.append(listener)
    return listeners


def _serve(listeners: Sequence[socket.socket], folders: Sequence[Path]) -> int:
    """Start a process that answers on every listener, and return its id."""
    pid = os.fork()
    if pid:
        for listener in listeners:
            listener.close()
        return pid
    with selectors.DefaultSelector() as selector, ExitStack():
        for listener, folder in zip(listeners, folders, strict=True):
            selector.register(listener, selectors.EVENT_READ, folder / POINTER)
        while True:
            for key, _ in selector.select():
                _answer(key.fileobj, key.data)  # type: ignore[arg-type]  # a socket was registered


def _answer(listener: socket.socket, path: Path) -> None:
    """Answer one request with what the pointer says."""
    import json  # noqa: PLC0415 (in the child only)

    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return
    with connection:
        connection.setblocking(True)
        connection.recv(4096)
        pointer = json.loads(path.read_bytes())
        lanes = {name: lane["release"] for name, lane in pointer["lanes"].items()}
        generation = pointer["generation"]
        names = {name: pointer[name] for name in ("model", "environment")}
        live = {"release": lanes["champion"], "lanes": lanes, "generation": generation, "converged": True}
        body = json.dumps(names | live | {"workers": {"1": generation}, "error": None}).encode()
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
