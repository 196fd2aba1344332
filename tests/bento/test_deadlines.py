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
