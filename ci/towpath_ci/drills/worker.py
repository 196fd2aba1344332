"""One worker of a service, on a free port of the loopback, for as long as a drill asks it."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from towpath_ci.drills.stage import MODEL, Stage
from towpath_gitops import layout
from towpath_gitops.delivery.loopback import HOST, Answer, ask
from towpath_gitops.files import write_atomically
from towpath_gitops.records.artifact import GOLDEN
from towpath_gitops.records.base import canonical_json
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import POINTER, LanePointer, Pointer
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    import uvicorn

    from towpath_bento.server import ModelServer
    from towpath_bento.settings import Limits

_BACKLOG: Final = 256  # callers who may wait to be accepted
_ENDS_S: Final = 20.0


class Worker(NamedTuple):
    """A worker that serves."""

    server: "ModelServer"
    port: int

    def ask(self, release: str, rows: bytes) -> Answer:
        """Ask a release by its id."""
        return ask(self.port, f"/v1/releases/{release}/predict", rows)


@contextmanager
def serving(
    champion: LanePointer, earlier: Sequence[LanePointer] = (), limits: "Limits | None" = None
) -> Iterator[Worker]:
    """Serve a champion over HTTP, and by their ids what served before, for the time of the block.

    It is the interface that every service has, in a thread of this process: one that BentoML starts takes seconds.

    Raises:
        DeliveryError, TimeoutError: it does not come to serve.
    """
    from towpath_bento.server import ModelServer  # noqa: PLC0415 (heavy: only drills that serve need it)

    server = ModelServer(MODEL, 1, limits=limits)
    with (
        TemporaryDirectory(prefix="towpath-drill-") as folder,
        socket.create_server((HOST, 0), backlog=_BACKLOG) as door,
    ):
        pointer = Pointer(
            model=MODEL, environment="drill", generation=1, lanes={"champion": champion}, earlier=tuple(earlier)
        )
        write_atomically(Path(folder, POINTER), pointer.model_dump_json(by_alias=True))
        begun: Future[uvicorn.Server] = Future()
        thread = threading.Thread(target=_run, args=(server, Path(folder, POINTER), door, begun), daemon=True)
        thread.start()
        http = begun.result(_ENDS_S)
        try:
            yield Worker(server, door.getsockname()[1])
        finally:
            http.should_exit = True
            thread.join(_ENDS_S)


def _run(server: "ModelServer", pointer: Path, door: socket.socket, begun: "Future[uvicorn.Server]") -> None:
    import uvicorn  # noqa: PLC0415 (as above)

    from towpath_bento.connections import Connection  # noqa: PLC0415 (as above)

    async def serve() -> None:
        await server.start(pointer)
        http = uvicorn.Server(
            uvicorn.Config(server, http=Connection, lifespan="off", log_config=None, access_log=False)
        )
        begun.set_result(http)
        await http.serve([door])
        await server.stop()

    try:
        asyncio.run(serve())
    except Exception as error:
        if begun.done():
            raise
        begun.set_exception(error)


def held(stage: Stage, release: Release) -> LanePointer:
    """Return a release as a pointer names it, its checked files at hand."""
    folder = stage.registry.fetch(release, layout.store(stage.root).absolute())
    return LanePointer(release=release.id, artifact=release.artifact, path=str(folder))


def rows(pointer: LanePointer, count: int) -> bytes:
    """Return a request of `count` rows that a release takes: one of its golden rows, again and again."""
    golden = parse_json(Path(pointer.path, GOLDEN).read_bytes(), Golden, source=GOLDEN)
    return canonical_json({"rows": [golden.cases[0].rows[0]] * count})


def said(answer: Answer) -> str:
    """Return what a problem document says."""
    return str(json.loads(answer.body)["detail"])
