"""The BentoML service whose HTTP is answered by an interface of ours, before anything of BentoML's.

Whatever BentoML does for a request (it wraps each in a timer that outlives it by a minute, in a context, and in a span
even where nothing is traced) would cost more than a prediction. Its middlewares and routes are still there, for the
start and the end of the process; no HTTP request comes to them.
"""

from typing import Any

import bentoml

from towpath_bento.asgi import App, Receive, Scope, Send


class Fronted(bentoml.Service[Any]):  # type: ignore[misc]  # BentoML ships no types
    """A BentoML service with `front`, an ASGI application, before it."""

    front: App  # set by whoever makes the service, before it is served

    def to_asgi(self, is_main: bool = True) -> App:  # noqa: FBT001, FBT002 (BentoML's own signature)
        """Return the application that a worker runs."""
        behind: App = super().to_asgi(is_main)

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await (self.front if scope["type"] == "http" else behind)(scope, receive, send)

        return application
