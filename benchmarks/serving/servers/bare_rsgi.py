"""The same least, spoken to by Granian in its own protocol, RSGI."""

from typing import Any

from bare_asgi import answer


async def app(_: Any, protocol: Any) -> None:  # noqa: ANN401 (RSGI)
    """Answer every request with predictions."""
    content = answer(await protocol())
    protocol.response_bytes(200, [("content-type", "application/json")], content)
