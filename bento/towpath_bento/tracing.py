"""OpenTelemetry, where the owner turns it on: a span for each request, sent by OTLP to where the environment says.

`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin are read by OpenTelemetry itself.
"""

from typing import TYPE_CHECKING, Any, Final

from towpath_bento.asgi import App, Message, Receive, Scope, Send
from towpath_bento.identity import REQUEST_HEADER
from towpath_gitops.errors import MissingDependencyError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORTER: Final = "opentelemetry-exporter-otlp-proto-http"
_UNTRACED: Final = "livez,readyz,ping$,metrics,version"  # asked every few seconds by machines
# The headers of an answer that become attributes of its span.
_TOLD: Final = {
    b"x-towpath-lane": "towpath.lane",
    b"x-towpath-release": "towpath.release",
    REQUEST_HEADER.encode(): "towpath.request",
}


class Traced:
    """An application whose requests are spans, parts of their callers' traces."""

    def __init__(self, app: App, model: str, share: float) -> None:
        """Trace `share` of the requests that no caller has decided about; the first request begins it."""
        self._app, self._model, self._share = app, model, share
        self._middleware: App | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The libraries that it needs in an image, beyond those of every service."""
        return (*getattr(self._app, "needs", ()), EXPORTER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._middleware is None:  # in the worker: threads that send would not survive a fork
            self._middleware = self._begin()
        await self._middleware(scope, receive, send)

    def _begin(self) -> App:
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware  # noqa: PLC0415 (only where it is on)
        from opentelemetry.util.http import parse_excluded_urls  # noqa: PLC0415 (as above)

        middleware: App = OpenTelemetryMiddleware(
            self._described,
            tracer_provider=_provider(self._model, self._share),
            excluded_urls=parse_excluded_urls(_UNTRACED),
            exclude_spans=["receive", "send"],
        )
        return middleware

    async def _described(self, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 (as above)

        span = get_current_span()

        async def describe(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attributes(_attributes(message["headers"]))
            await send(message)

        await self._app(scope, receive, describe)


def _attributes(headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {_TOLD[name]: value.decode() for name, value in headers if name in _TOLD}


def _provider(model: str, share: float) -> "TracerProvider":
    """Return what makes spans and sends them, in batches, from a thread.

    Raises:
        MissingDependencyError: the exporter is not installed.
    """
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (as above)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 (as above)
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 (as above)
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415 (as above)

    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 (as above)
    except ImportError as error:
        raise MissingDependencyError(
            f"Tracing needs {EXPORTER}", why=str(error), hint="Install towpath[tracing], or turn it off in service.py."
        ) from error
    sampler = ParentBased(TraceIdRatioBased(share))
    provider = TracerProvider(resource=Resource.create({"service.name": model}), sampler=sampler)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
