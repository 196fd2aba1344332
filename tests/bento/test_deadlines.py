"""Waits that are given up."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from towpath_bento.deadlines import Deadlines


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario in an event loop of its own."""
    asyncio.run(scenario)


def test_a_wait_that_takes_too_long_ends() -> None:
    """It raises TimeoutError, its task is not left cancelled, and others that have more time go on."""

    async def scenario() -> None:
        deadlines, longer = Deadlines(), asyncio.Event()
        watch = asyncio.create_task(deadlines.run())

        async def patient() -> str:
            with deadlines.within(600):
                await longer.wait()
            return "came"

        other = asyncio.create_task(patient())
        with pytest.raises(TimeoutError), deadlines.within(0.01):
            await asyncio.sleep(600)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        longer.set()
        assert await other == "came"
        watch.cancel()

    run(scenario())


def test_what_comes_in_time_is_left_alone() -> None:
    """Nothing is cancelled after the wait is over, although its time passes afterwards."""

    async def scenario() -> None:
        deadlines = Deadlines()
        watch = asyncio.create_task(deadlines.run())
        with deadlines.within(0.01):
            pass
        await asyncio.sleep(0.3)
        watch.cancel()

    run(scenario())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    """A caller that gives up, or a process that ends, is not told that time has passed."""

    async def scenario() -> None:
        deadlines = Deadlines()

        async def waiting() -> None:
            with deadlines.within(600):
                await asyncio.sleep(600)

        task = asyncio.create_task(waiting())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario())


def test_what_is_there_at_once_is_no_wait() -> None:
    """It costs no deadline, and so needs neither a task nor anybody who looks."""

    async def scenario() -> None:
        deadlines = Deadlines()

        async def there() -> str:
            assert not deadlines._open
            return "there"

        assert await deadlines.wait(there(), 0) == "there"
        with pytest.raises(ValueError, match="at once"):
            await deadlines.wait(failing(0), 0)

    run(scenario())


def test_what_must_be_waited_for_is_waited_for() -> None:
    """Its result comes through however often it waits, and so do its own fault and a cancellation from elsewhere."""

    async def scenario() -> None:
        deadlines = Deadlines()
        watch = asyncio.create_task(deadlines.run())

        async def slow() -> str:
            for _ in range(3):
                await asyncio.sleep(0.001)
            try:
                await asyncio.wait_for(asyncio.sleep(600), 0.01)
            except TimeoutError:
                return "came"
            return "never"

        assert await deadlines.wait(slow(), 600) == "came"
        with pytest.raises(ValueError, match="at once"):
            await deadlines.wait(failing(0.001), 600)

        async def long() -> None:
            await deadlines.wait(asyncio.sleep(600), 600)

        waiting = asyncio.create_task(long())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not deadlines._open
        watch.cancel()

    run(scenario())


def test_a_wait_for_something_that_takes_too_long_ends() -> None:
    """What was waited for is cancelled where it waits, so that it can let go of what it holds."""

    async def scenario() -> None:
        deadlines, let_go = Deadlines(), []
        watch = asyncio.create_task(deadlines.run())

        async def holding() -> None:
            try:
                await asyncio.sleep(600)
            finally:
                let_go.append("all")

        with pytest.raises(TimeoutError):
            await deadlines.wait(holding(), 0.01)
        assert let_go == ["all"]
        watch.cancel()

    run(scenario())


async def failing(after_s: float) -> None:
    """Fail, at once or later."""
    if after_s:
        await asyncio.sleep(after_s)
    message = "at once"
    raise ValueError(message)
