"""What is noted of an answer before anything is made of it: references to what the request had anyway."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from towpath_bento.columns import Blocks
from towpath_bento.lane import Lane


class Noted(NamedTuple):
    """An answered request: who answered, what was asked, and the engine's `values` of shape (rows, k)."""

    name: str  # the lane's, as it is counted
    lane: Lane
    columns: Blocks
    values: NDArray[Any]
    entity: str | None
    request: str
    at_s: float  # seconds since the epoch
    took_s: float
    size_bytes: int  # of the request's body
    sampled: bool  # whether the journal shall remember it
