"""Which requests a worker takes on when there are more than it can answer in time, and where large ones are answered.

Small requests are answered one after the other in the event loop; what waits for them, waits in its sockets. So what
tells that they are too many is how late the loop comes round. Large ones would keep every small one waiting: they are
answered in threads of their own, and at most so many wait for these.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final, TypeVar

from towpath_bento.bodies import UNCOUNTED_BYTES, Bodies
from towpath_bento.problems import ProblemError
from towpath_bento.settings import Limits

INLINE_BYTES: Final = UNCOUNTED_BYTES  # bodies up to this size are answered in the event loop: a thread would cost more
THREADS: Final = 2  # for large requests; more would only share the same cores
_BEAT_S: Final = 0.05

Asked = TypeVar("Asked")
Scored = TypeVar("Scored")


class Admission:
    """Takes requests on, or refuses them, in one event loop."""

    def __init__(self, limits: Limits) -> None:
        """Let wait what `limits` allows."""
        self._limits = limits
        self.bodies = Bodies(limits.body_bytes)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="large")
        self._large = 0  # taken on and not yet answered
        self._due_s = time.monotonic() + _BEAT_S  # when the loop should come round next
        self._taken = 0  # small ones since it last did

    async def run(self) -> None:
        """Notice whenever the loop comes round, until cancelled."""
        while True:
            self._due_s, self._taken = time.monotonic() + _BEAT_S, 0
            await asyncio.sleep(_BEAT_S)

    def close(self) -> None:
        """End the threads, without waiting for what they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def check(self, size_bytes: int) -> None:
        """Take on a request whose body, of this size as far as is known, has not been read.

        A loop that is late without having answered many requests was held up by something else, such as a machine that
        slept; those that waited meanwhile are not too many.

        Raises:
            ProblemError: 503 with `Retry-After`: too much is waiting already.
        """
        self._taken += 1
        late_s = time.monotonic() - self._due_s
        if late_s > self._limits.wait_s and self._taken > self._limits.waiting:
            raise _refusal(f"Requests wait for more than {self._limits.wait_s:g} s here.", unread=True)
        if size_bytes > INLINE_BYTES:
            self._check_room(unread=True)

    async def answer(
        self, score: Callable[[Asked], Scored], asked: Asked, size_bytes: int, *, in_thread: bool = False
    ) -> Scored:
        """Return `score(asked)`, computed in a thread if the request is large or `in_thread`.

        Raises:
            ProblemError: as `check`, for a request whose size was not known before.
        """
        if size_bytes <= INLINE_BYTES and not in_thread:
            return score(asked)
        self._check_room(unread=False)
        self._large += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, score, asked)
        finally:
            self._large -= 1

    def _check_room(self, *, unread: bool) -> None:
        if self._large >= THREADS + self._limits.waiting:
            raise _refusal(f"{self._limits.waiting} large requests wait here already.", unread=unread)


def _refusal(why: str, *, unread: bool) -> ProblemError:
    problem = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, f"{why} Try again.", retry_after="1")
    problem.unread = unread
    return problem
