"""Requests for predictions, from their headers to the answer. Whatever stands here is paid for by each of them."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from towpath_bento import metrics, wire
from towpath_bento.admission import INLINE_BYTES, Admission
from towpath_bento.asgi import Answer, Receive, Scope, read_body, require_method
from towpath_bento.deadlines import Deadlines
from towpath_bento.follower import Follower
from towpath_bento.headers import by_name, declared_size, header
from towpath_bento.identity import REQUEST_KEY
from towpath_bento.journal.entry import Noted
from towpath_bento.lane import Lane
from towpath_bento.limits import MAX_BODY_BYTES, MAX_BULK_BYTES
from towpath_bento.online import Lookups
from towpath_bento.online.lookups import StoreRefusalError
from towpath_bento.predicting import Asked, Scored, score
from towpath_bento.problems import ProblemError
from towpath_bento.recorder import Recorder
from towpath_bento.router import Shadow
from towpath_bento.settings import Limits
from towpath_gitops.records.pointer import LANE_HEADER, PROBE_HEADER, LanePointer

_PROBE: Final = PROBE_HEADER.encode()
_LANE: Final = LANE_HEADER.encode()
_RELEASE: Final = b"x-towpath-release"


class Predictions:
    """Answers requests for predictions in one worker."""

    follower: Follower  # from the start on; no request comes before it

    def __init__(self, limits: Limits, admission: Admission, deadlines: Deadlines, recorder: Recorder) -> None:
        """Take on what `admission` lets in, and tell `recorder` of every answer."""
        self._admission, self._deadlines, self._recorder = admission, deadlines, recorder
        self._most_bulk_bytes = min(MAX_BULK_BYTES, limits.body_bytes)
        self.lookups = Lookups(admission.answer)
        self.shadow = Shadow(recorder.note, self.lookups.fill)

    async def answer(self, scope: Scope, receive: Receive, release: str | None = None) -> Answer:
        """Answer a request, by the release of this id where one is named.

        Raises:
            ProblemError: it is refused.
            ClientGoneError: the caller hung up.
        """
        started_s = time.perf_counter()
        require_method(scope, "POST")
        headers = by_name(scope)
        bulk = wire.is_bulk(headers.get(b"content-type", b""))
        if headers.get(b"content-encoding"):
            raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as it is, without content-encoding.")
        wanted = None if release is None else self.find(release)
        size_bytes, most_bytes = declared_size(scope), self._most_bulk_bytes if bulk else MAX_BODY_BYTES
        with self._admission.bodies.hold() as held:
            try:
                self._admission.check(size_bytes)
                body = await read_body(size_bytes, receive, self._deadlines, held, most_bytes)
            except ProblemError as problem:
                metrics.count_refusal(int(problem.status))
                raise
            lane = None if wanted is None else await self.fetch(wanted)
            # One moment's lanes for the whole request, whatever is swapped meanwhile.
            asked = Asked(self.follower.live, body, header(scope, _PROBE), _pinned(headers), lane, bulk)
            scored = await self._score(asked)
        noted = self._note(asked, scored, scope[REQUEST_KEY], started_s)
        if scored.shadow is not None:
            self.shadow.offer(scored.shadow, noted, body)
        told = ((_LANE, scored.name.encode()), (_RELEASE, scored.lane.release.encode()))
        return Answer(scored.body, wire.ARROW if bulk else wire.CONTENT_TYPE, headers=told)

    def find(self, release: str) -> Lane | LanePointer:
        """Return a release by its id, loaded or not.

        Raises:
            ProblemError: 404, it is not served here and was not before.
        """
        found = self.follower.live.find(release)
        if found is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, "No such release is served here. See /v1/releases.")
        return found

    async def fetch(self, wanted: Lane | LanePointer) -> Lane:
        """Return a release that was found, loaded if it is not yet."""
        return await self.follower.held.fetch(wanted) if isinstance(wanted, LanePointer) else wanted

    async def _score(self, asked: Asked) -> Scored:
        try:
            if self.lookups.concern(asked):
                asked = await self.lookups.complete(asked)
            if asked.bulk or len(asked.body) > INLINE_BYTES:
                return await self._admission.answer(score, asked, len(asked.body), in_thread=asked.bulk)
            return score(asked)
        except Exception as error:
            _count(asked, error)
            raise

    def _note(self, asked: Asked, scored: Scored, request: str, started_s: float) -> Noted:
        """Remember an answer, to be counted between requests."""
        sampled = asked.is_traffic and self._recorder.samples()
        took_s, now_s = time.perf_counter() - started_s, time.time()
        columns, entity = scored.request.columns, scored.request.entity
        name, size_bytes = asked.counted(scored.name), len(asked.body)
        noted = Noted(name, scored.lane, columns, scored.values, entity, request, now_s, took_s, size_bytes, sampled)
        self._recorder.note(noted)
        return noted


def _pinned(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the lane that the caller wishes; None where it leaves that open."""
    given = headers.get(_LANE)
    return None if given is None else given.decode("latin-1")


def _count(asked: Asked, error: Exception) -> None:
    """Count a request that was not answered: for its release where that is at fault, so that who watches it sees it."""
    problem = error if isinstance(error, ProblemError) else None
    status = int(problem.status if problem else HTTPStatus.INTERNAL_SERVER_ERROR)
    if problem is None or isinstance(problem, StoreRefusalError):
        name, lane = asked.choose()
        metrics.count_refusal(status, asked.counted(name), lane.release)
        return
    metrics.count_refusal(status)
    champion = asked.live.lanes.get("champion")
    if champion is not None and problem.errors:
        metrics.count_refused(problem.errors, champion.codec.signature)
