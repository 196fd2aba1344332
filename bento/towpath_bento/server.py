"""The HTTP interface, and the BentoML service that runs it.

BentoML supervises the workers and packages the service. The interface stands before BentoML's own middleware and routes
and answers everything itself: none of BentoML's decoders, pickle among them, can be reached.
"""

import asyncio
import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from towpath_bento import metrics, vitals, wire
from towpath_bento.access import Access
from towpath_bento.admission import Admission
from towpath_bento.answering import Predictions
from towpath_bento.asgi import (
    Answer,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    problem_answer,
    reply,
    reply_early,
    require_method,
)
from towpath_bento.crossover.settling import FOLDER, Settling
from towpath_bento.deadlines import Deadlines
from towpath_bento.doors import Doors, complete
from towpath_bento.engines.native import LIBRARIES as NATIVE
from towpath_bento.follower import Follower, read_pointer, read_states
from towpath_bento.headers import by_name
from towpath_bento.identity import REQUEST_HEADER, identify, numbers
from towpath_bento.journal.opening import open_journal
from towpath_bento.lane import Lane
from towpath_bento.logs import ACCESS, say_as_json, tell_request
from towpath_bento.openapi import document, release_document
from towpath_bento.packaged import packaged_pointer
from towpath_bento.predicting import ending, not_live
from towpath_bento.problems import ProblemError
from towpath_bento.recorder import Recorder
from towpath_bento.settings import Journal, Limits, Logs, ManyRows, Tracing
from towpath_bento.tracing import Traced
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.pointer import POINTER_VARIABLE, WorkerState

if TYPE_CHECKING:
    from towpath_bento.fronted import Fronted
    from towpath_bento.journal.writer import Writer

log = logging.getLogger("towpath.bento")

WORKERS_VARIABLE: Final = "TOWPATH_WORKERS"  # how many workers the service has, set by `python -m towpath_bento`
_PREDICT: Final = ("/v1/predict", "/invocations")
_RELEASES: Final = "/v1/releases/"
_OF_RELEASE: Final = "/predict"
_DOCUMENT: Final = "/openapi.json"
_EARLY: Final = (404, 405, 413, 415)  # sent before the body has been read
_JSON: Final = wire.CONTENT_TYPE.encode()
_BENTOML_TYPES: Final = b"application/vnd.bentoml"  # pickle and its kin; never opened, on no route


class ModelServer:
    """The HTTP interface of one model in one worker: an ASGI application."""

    follower: Follower  # from the start on; no request comes before it
    doors: Doors | None = None  # set where there is a check before it, for the contract

    def __init__(  # noqa: PLR0913 (as `model_server`)
        self,
        model: str,
        workers: int,
        *,
        journal: Journal | None = None,
        limits: Limits | None = None,
        many: ManyRows | None = None,
        logs: Logs | None = None,
    ) -> None:
        """Serve `model` as one of `workers` processes; by default without a journal."""
        self._model, self._workers = model, workers
        self._settings, self._limits = journal or Journal(share=0), limits or Limits()
        self._many = many or ManyRows()
        self._tells = logs is not None and logs.requests
        self._journal: Writer | None = None
        self._recorder = Recorder()
        self._admission = Admission(self._limits)
        self._deadlines = Deadlines()
        self._predictions = Predictions(self._limits, self._admission, self._deadlines, self._recorder)
        self._fresh = numbers()
        self._tasks: list[asyncio.Task[None]] = []
        self._routes: dict[str, Callable[[], Answer | Awaitable[Answer]]] = {
            "/version": self._version,
            "/livez": lambda: Answer(b"{}"),
            "/readyz": self._ready,
            "/ping": self._ready,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
            "/v1/releases": self._releases,
        }

    @property
    def needs(self) -> tuple[str, ...]:
        """The libraries that it needs in an image, beyond those of every service."""
        return ("pyarrow",) * self._settings.is_placed + NATIVE * self._many.native

    async def start(self, pointer: Path) -> None:
        """Bring live what the file `pointer` names now, then follow it."""
        self.follower = self._predictions.follower = Follower(self._model, pointer, self._limits)
        self._fresh = numbers()
        self._journal = open_journal(self._settings, pointer)
        if self._journal is not None:
            self._recorder.remember(self._settings.share, self._journal)
        vitals.introduce()
        await self.follower.look()
        settling = Settling(self._many, self._workers, pointer.parent / FOLDER)
        self._tasks = [
            asyncio.create_task(each)
            for each in (
                self.follower.run(),
                self._predictions.shadow.run(),
                self._deadlines.run(),
                self._admission.run(),
                settling.run(self._lanes),
            )
        ]

    async def stop(self) -> None:
        """Stop following. Requests in flight were answered before this is called."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._admission.close()
        await self._predictions.lookups.close()
        self.follower.held.close()
        self._recorder.drain()
        if self._journal is not None:
            await asyncio.to_thread(self._journal.close)
        self.follower.withdraw()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started_s = time.perf_counter()
        request = identify(scope, self._fresh)
        try:
            answer = await self._answer(scope, receive)
        except ProblemError as problem:
            answer = problem_answer(problem)
        except ClientGoneError:
            return  # nobody reads an answer
        except asyncio.CancelledError:  # uvicorn ends, and would answer 500
            answer = problem_answer(ending())
        except Exception:
            log.exception("a request could not be answered")
            answer = problem_answer(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "The fault is ours and is logged."))
        if self._tells:
            told = {name.decode(): value.decode() for name, value in answer.headers} | {REQUEST_HEADER: request}
            tell_request(scope, answer.status, time.perf_counter() - started_s, **told)
        early = answer.unread or answer.status in _EARLY
        await (reply_early(receive, send, answer, request) if early else reply(send, answer, request))

    def _answer(self, scope: Scope, receive: Receive) -> Awaitable[Answer]:
        _refuse_bentoml(scope)
        path = scope["path"]
        if path in _PREDICT:
            return self._predictions.answer(scope, receive)
        if path.startswith(_RELEASES) and path.endswith(_OF_RELEASE):
            return self._predictions.answer(scope, receive, path[len(_RELEASES) : -len(_OF_RELEASE)])
        if path.startswith(_RELEASES) and path.endswith(_DOCUMENT):
            return self._document_of(scope, path[len(_RELEASES) : -len(_DOCUMENT)])
        return self._route(scope)

    async def _route(self, scope: Scope) -> Answer:
        route = self._routes.get(scope["path"])
        if route is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "There is nothing here. See /openapi.json.")
        require_method(scope, "GET", "HEAD")
        answer = route()
        return answer if isinstance(answer, Answer) else await answer

    async def _metrics(self) -> Answer:
        """Tell what all workers have counted; reading their files takes longer than many requests."""
        self._recorder.drain()
        vitals.update(now=True)
        return Answer(await asyncio.to_thread(metrics.render), metrics.CONTENT_TYPE)

    def _lanes(self) -> list[Lane]:
        return list(self.follower.live.lanes.values())

    def _champion(self) -> Lane:
        lane = self.follower.live.lanes.get("champion")
        if lane is None:
            raise not_live()
        return lane

    def _ready(self) -> Answer:
        self._champion()
        return Answer(b"{}")

    def _openapi(self) -> Answer:
        return self._described(document, self._champion())

    async def _document_of(self, scope: Scope, release: str) -> Answer:
        require_method(scope, "GET", "HEAD")
        return self._described(release_document, await self._predictions.fetch(self._predictions.find(release)))

    def _described(self, describe: Callable[..., dict[str, Any]], lane: Lane) -> Answer:
        described = describe(self._model, lane.codec.signature, lane.codec.unknown, release=lane.release)
        return Answer(msgspec.json.encode(complete(described, self.doors)))

    def _releases(self) -> Answer:
        """Answer which releases can be asked by their ids, which are in memory here, and who answers many rows."""
        live = self.follower.live
        found = [
            {"release": lane.release, "lane": name, "loaded": True, "many": lane.engine.shown}
            for name, lane in live.lanes.items()
        ]
        held = self.follower.held
        found += [
            {"release": each.release, "lane": None, "loaded": each in held, "many": None} for each in live.earlier
        ]
        return Answer(msgspec.json.encode({"releases": found}))

    def _version(self) -> Answer:
        """Answer for all workers of the service, as their own states tell it."""
        states = read_states(self.follower.states)
        wanted, error = self._wanted(states)
        live = self.follower.live
        lanes = {name: lane.release for name, lane in live.lanes.items()}
        generations = {str(state.pid): state.generation for state in states}
        agreed = len(states) == self._workers and set(generations.values()) == {wanted}
        answer = {
            "model": self._model,
            "environment": self.follower.environment,
            "release": lanes.get("champion"),
            "lanes": lanes,
            "generation": live.generation,
            "converged": agreed and error is None and live.generation == wanted,
            "workers": generations,
            "error": error,
        }
        return Answer(msgspec.json.encode(answer))

    def _wanted(self, states: list[WorkerState]) -> tuple[int | None, str | None]:
        """Return the generation that the pointer asks for, and why a worker does not hold it."""
        errors = [state.error for state in states if state.error]
        try:
            return read_pointer(self.follower.pointer).generation, errors[0] if errors else None
        except (OSError, TowpathError) as error:
            return None, errors[0] if errors else f"There is no readable pointer: {error}"


def model_server(  # noqa: PLR0913 (what an owner may set, by name)
    name: str,
    *,
    journal: Journal | None = None,
    limits: Limits | None = None,
    many: ManyRows | None = None,
    access: Access | None = None,
    logs: Logs | None = None,
    tracing: Tracing | None = None,
) -> "Fronted":
    """Return the BentoML service for the model `name`; the calling module assigns it to `service`.

    With the environment variable `TOWPATH_POINTER` it follows that pointer. Without it, it serves the release that was
    packaged beside the calling file; where there is neither, its workers end with a `NotFoundError`.

    Args:
        name: the model's, as in model.yaml.
        journal: what is remembered of the answers; by default a tenth of them. `Journal(share=0)` turns it off.
        limits: what a worker takes on; by default those that `Limits` states.
        many: which engines may answer many rows; by default the one for few, on as many threads as are faster.
        access: who may ask; by default everybody who reaches the service, which listens on loopback.
        logs: what is printed; by default a few words at the start, at each swap, and where something fails.
        tracing: spans for OpenTelemetry; by default none.
    """
    _let_log(logs or Logs())
    workers, folder = int(os.environ.get(WORKERS_VARIABLE, "1")), Path(_caller_file()).parent
    server = ModelServer(name, workers, journal=journal or Journal(), limits=limits, many=many, logs=logs)
    guarded = access.guard(server, name, tells=logs is not None and logs.requests) if access else None
    server.doors = guarded.doors if guarded else None

    async def start() -> None:
        if guarded:
            guarded.load()
        await server.start(_pointer(folder))

    from towpath_bento.fronted import service  # noqa: PLC0415 (BentoML is heavy; the interface itself does without)

    front = guarded or server
    return service(name, workers, start, server.stop, Traced(front, name, tracing.share) if tracing else front)


def _let_log(logs: Logs) -> None:
    for logger in (log, ACCESS):
        logger.setLevel(logging.INFO)
    # Else uvicorn words a line for each request that nobody reads.
    logging.getLogger("uvicorn.access").propagate = False
    if logs.json:
        say_as_json()


def _caller_file() -> str:
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return str(frame.f_globals.get("__file__", "")) if frame is not None else ""


def _pointer(folder: Path) -> Path:
    followed = os.environ.get(POINTER_VARIABLE)
    return Path(followed) if followed else packaged_pointer(folder)


def _refuse_bentoml(scope: Scope) -> None:
    headers = by_name(scope)
    if len(headers) == len(scope["headers"]) and headers.get(b"content-type") == _JSON:
        return  # what nearly all send; no name is there twice
    for name, value in scope["headers"]:
        if name == b"content-type" and value.strip().lower().startswith(_BENTOML_TYPES):
            raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This type is never opened here. Send JSON.")
