"""Which lane a request for predictions is answered by, and what its answer is made of."""

from http import HTTPStatus
from typing import Any

import msgspec
from numpy.typing import NDArray

from towpath_bento import metrics
from towpath_bento.lane import Lane
from towpath_bento.problems import ProblemError
from towpath_bento.router import Live
from towpath_bento.wire import Request


class Scored(msgspec.Struct, frozen=True, gc=False):
    """A predicted request: the answer's bytes, who gave it, and who shall score it besides."""

    body: bytes
    name: str
    lane: Lane
    request: Request
    values: NDArray[Any]
    shadow: Lane | None


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request for predictions, and the lanes of the moment at which it came."""

    live: Live
    body: bytes
    probe: str = ""  # the lane that shall answer, where Towpath itself asks; empty for everybody else
    pin: str | None = None  # the lane that the caller wishes
    release: Lane | None = None  # the release that the caller named, in a lane or not
    bulk: bool = False  # whether the body is an Arrow stream
    chosen: tuple[str, Lane] | None = None  # by the body as it was sent, where it has been completed since

    def read(self) -> Request | None:
        """Return the request, where it is read alike whoever answers it; None where that must be known first.

        Raises:
            ProblemError: it does not fit the contract of all who might.
        """
        named = self.bulk or self.probe or self.pin is not None or self.release is not None or self.chosen is not None
        contract = None if named else self.live.contract
        return None if contract is None else contract.decode(self.body)

    def choose(self, request: Request | None = None) -> tuple[str, Lane]:
        """Return the lane that answers, and its name; by `request` where it has been read.

        Raises:
            ProblemError: 503, it is not live; 403, callers may not choose it.
        """
        if self.chosen is not None:
            return self.chosen
        if self.release is not None:
            return metrics.NAMED, self.release
        if self.pin is not None and not self.probe and not self.live.may_pin(self.pin):
            raise ProblemError(HTTPStatus.FORBIDDEN, "Callers may not choose this lane. Leave out x-towpath-lane.")
        name = self.probe or self.pin
        chosen = self.live.named(name) if name else self.live.choose(self.body, request)
        if chosen is None:
            raise not_live()
        return chosen

    def counted(self, lane: str) -> str:
        """Return under which name the request is counted."""
        return metrics.PROBE if self.probe else lane

    @property
    def is_traffic(self) -> bool:
        """Whether it stands for what callers ask: not Towpath's own questions, nor those to a release by its name."""
        return not self.probe and self.release is None


def score(asked: Asked) -> Scored:
    """Answer a request.

    Raises:
        ProblemError: it is refused.
    """
    request = asked.read()
    name, lane = asked.choose(request)
    if asked.bulk:
        return _score_bulk(asked, name, lane)
    if request is None:
        request = lane.codec.decode(asked.body)
    values = lane.engine.predict(request.columns)
    answer = lane.codec.encode(lane.release, values)
    shadow = asked.live.shadow(request, asked.body) if asked.is_traffic else None
    return Scored(answer, name, lane, request, values, shadow)


def _score_bulk(asked: Asked, name: str, lane: Lane) -> Scored:
    """Answer an Arrow stream by another; it is too much for the shadow lane."""
    from towpath_bento import bulk  # noqa: PLC0415 (pyarrow is heavy, and no part of every image)

    request = bulk.decode(lane.codec, asked.body)
    values = lane.engine.predict(request.columns)
    return Scored(bulk.encode(lane.codec.signature, lane.release, values), name, lane, request, values, None)


def not_live() -> ProblemError:
    """Return the problem of a service, or of a lane, without a release."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "No release is live here yet.", retry_after="1")


def ending() -> ProblemError:
    """Return the problem of a request that a service cannot wait for any longer: it ends."""
    detail = "The service ends before the request is complete. Try again."
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after="1", connection="close")
