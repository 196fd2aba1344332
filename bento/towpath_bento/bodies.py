"""The memory that the bodies of large requests take, of all of them together.

A limit for each request alone would let many slow callers fill the memory. So what has arrived counts, from then on
until its request is answered: what a caller only says that it will send takes no memory, and keeps nobody out.
"""

from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from towpath_bento.problems import ProblemError

UNCOUNTED_BYTES: Final = 16_384  # of one body: a small one is never refused, and as many fit into few MiB


class Bodies:
    """The bodies of one event loop."""

    def __init__(self, most_bytes: int) -> None:
        """Hold at most `most_bytes` of large bodies at once."""
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def hold(self) -> "Body":
        """Return a context in which a request's body is held."""
        return Body(self)

    def check(self, more_bytes: int) -> None:
        """Look whether so much more may be held now.

        Raises:
            ProblemError: 503 with `Retry-After`.
        """
        if self.held_bytes + more_bytes > self._most_bytes:
            held = f"{self._most_bytes // 2**20} MiB of large requests are held here already."
            problem = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, f"{held} Try again.", retry_after="1")
            problem.unread = True
            raise problem


class Body:
    """The body of one request."""

    __slots__ = ("_among", "_counted_bytes")

    def __init__(self, among: Bodies) -> None:
        """Start with nothing of it."""
        self._among, self._counted_bytes = among, 0

    def __enter__(self) -> Self:
        """Hold it."""
        return self

    def grow(self, size_bytes: int) -> None:
        """Count it as having `size_bytes` now.

        Raises:
            ProblemError: 503, all bodies together are too large; what there is of this one counts until it is let go.
        """
        if size_bytes > UNCOUNTED_BYTES:
            more_bytes = size_bytes - self._counted_bytes
            self._among.check(more_bytes)
            self._among.held_bytes += more_bytes
            self._counted_bytes = size_bytes

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let it go."""
        self._among.held_bytes -= self._counted_bytes
