"""The BentoML service whose HTTP is answered by an interface of ours, before anything of BentoML's.

Whatever BentoML does for a request (it wraps each in a timer that outlives it by a minute, in a context, and in a span
even where nothing is traced) would cost more than a prediction. Its middlewares and routes are still there, for the
start and the end of the process; no HTTP request comes to them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import bentoml

from towpath_bento import connections
from towpath_bento.asgi import App, Receive, Scope, Send

Step = Callable[[], Awaitable[None]]

# What of BentoML's would only take memory: no request comes to it.
_SETTINGS: Final[dict[str, Any]] = {
    "http": {"host": "127.0.0.1"},
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
}


class Fronted(bentoml.Service[Any]):  # type: ignore[misc]  # BentoML ships no types
    """A BentoML service with `front`, an ASGI application, before it."""

    front: App  # set by whoever makes the service, before it is served

    def to_asgi(self, is_main: bool = True) -> App:  # noqa: FBT001, FBT002 (BentoML's own signature)
        """Return the application that a worker runs, and let uvicorn guard its connections."""
        connections.install()
        behind: App = super().to_asgi(is_main)

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await (self.front if scope["type"] == "http" else behind)(scope, receive, send)

        return application


def service(name: str, workers: int, begin: Step, end: Step, front: App) -> Fronted:
    """Return a BentoML service of `workers` processes that does nothing but begin and end: `front` answers."""

    @bentoml.service(name=name, workers=workers, service_class=Fronted, **_SETTINGS)
    class Model:
        """Predictions of one model; what it serves is declared in git."""

        @bentoml.on_startup  # type: ignore[untyped-decorator]  # BentoML does not annotate it
        async def start(self) -> None:
            await begin()
            self.watching = asyncio.create_task(connections.watch())

        @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # as above
        async def stop(self) -> None:
            self.watching.cancel()
            await end()

    made: Fronted = Model  # type: ignore[assignment]  # what the decorator makes of it
    made.front = front
    return made
