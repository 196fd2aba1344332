"""Waits that are given up after some time, at the price of an entry in a set.

`asyncio.timeout` sets a timer of the event loop for each, which costs as much as predicting a row. Here one task looks
at all of them now and then; so a wait may last a little longer than it was given.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import TracebackType, coroutine
from typing import Any, Final, TypeVar, cast

LOOK_S: Final = 0.1

T = TypeVar("T")


class Deadlines:
    """The waits of one event loop."""

    def __init__(self) -> None:
        """Start without any; `run` must run for one to be given up."""
        self._open: set[Deadline] = set()

    def within(self, time_s: float) -> "Deadline":
        """Return a context that raises TimeoutError where what is awaited inside takes longer than `time_s` seconds."""
        return Deadline(self._open, time_s)

    @coroutine
    def wait(self, awaited: Coroutine[Any, Any, T], time_s: float) -> Generator[Any, Any, T]:
        """Return what `awaited` comes to. Only where that is not known at once is it a wait, and costs a deadline.

        Raises:
            TimeoutError: it takes longer than `time_s` seconds.
        """
        try:
            pending = awaited.send(None)
        except StopIteration as done:
            return cast("T", done.value)
        with self.within(time_s):
            return (yield from _resume(awaited, pending))

    async def run(self) -> None:
        """Give up waits until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = time.monotonic()
            for deadline in [each for each in self._open if each.end_s < now_s]:
                deadline.give_up()


class Deadline:
    """One wait, in one task."""

    __slots__ = ("_given_up", "_open", "_task", "_time_s", "end_s")

    def __init__(self, among: "set[Deadline]", time_s: float) -> None:
        """Wait at most `time_s` seconds, once entered."""
        self._open, self._time_s = among, time_s
        self._given_up = False

    def __enter__(self) -> None:
        """Start the clock."""
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self.end_s = time.monotonic() + self._time_s
        self._open.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it; a cancellation that came from here becomes a TimeoutError, one from elsewhere stays."""
        self._open.discard(self)
        if self._given_up and self._task is not None and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def give_up(self) -> None:
        """Cancel what is awaited."""
        self._open.discard(self)
        self._given_up = True
        if self._task is not None:
            self._task.cancel()


def _resume(awaited: Coroutine[Any, Any, T], pending: object) -> Generator[Any, Any, T]:
    """Go on with a coroutine that has been begun and waits for `pending`, as `await` does (PEP 380)."""
    while True:
        step: Callable[[], Any]
        try:
            step = partial(awaited.send, (yield pending))
        except BaseException as error:  # noqa: BLE001 (whatever is thrown in is the coroutine's to answer)
            step = partial(awaited.throw, error)
        try:
            pending = step()
        except StopIteration as done:
            return cast("T", done.value)
