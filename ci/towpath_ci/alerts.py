"""Where alerts go: one `Protocol`, one row for each way. What is sent is an `Incident` as JSON (docs/schemas).

None of them can stop the guard: whatever goes wrong is said on the terminal, and the next look tries again.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final, Protocol

from towpath_ci.console import complain
from towpath_ci.webhook import VARIABLE, Webhook
from towpath_gitops.delivery.incident import Incident
from towpath_gitops.errors import TowpathError, UnavailableError

PREFECT_VARIABLE: Final = "PREFECT_API_URL"
_PREFECT_S: Final = 15.0


class Channel(Protocol):
    """A way to tell people."""

    def is_set(self) -> bool:
        """Return whether whoever runs the guard wants to be told this way."""
        ...

    def send(self, incident: Incident) -> None:
        """Send an incident.

        Raises:
            TowpathError: it did not arrive.
        """
        ...


class _WebhookChannel:
    """POST to the address in `TOWPATH_ALERT_WEBHOOK`."""

    def is_set(self) -> bool:
        return bool(os.environ.get(VARIABLE))

    def send(self, incident: Incident) -> None:
        Webhook.parse(os.environ[VARIABLE]).post(incident.model_dump_json(by_alias=True).encode())


class _PrefectChannel:
    """An event of Prefect's, on which automations can act: `towpath.guard.<what>` of the model in the environment."""

    def is_set(self) -> bool:
        return bool(os.environ.get(PREFECT_VARIABLE)) and find_spec("prefect") is not None

    def send(self, incident: Incident) -> None:
        with _quiet():
            try:
                asyncio.run(_emit(incident))
            except Exception as error:  # whatever its client raises, the event did not arrive
                raise UnavailableError(
                    "Prefect does not take the event", why=type(error).__name__, hint=f"Is {PREFECT_VARIABLE} right?"
                ) from error


async def _emit(incident: Incident) -> None:
    from prefect.events import Event, get_events_client  # noqa: PLC0415 (takes seconds to import)
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 (as above)

    event = Event(
        occurred=incident.at,
        event=f"towpath.guard.{incident.what}",
        resource={
            "prefect.resource.id": f"towpath.{incident.environment}.{incident.model}",
            "prefect.resource.name": f"{incident.model} in {incident.environment}",
        },
        payload=incident.plain(),
    )
    # Whoever imported Prefect earlier has read its settings then; without an address it would start its own server.
    with temporary_settings({PREFECT_API_URL: os.environ[PREFECT_VARIABLE]}):
        async with (
            asyncio.timeout(_PREFECT_S),
            # One event is confirmed by the server before the connection is closed.
            get_events_client(reconnection_attempts=0, checkpoint_every=1) as client,
        ):
            await client.emit(event)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Prefect's client logs about an address that may hold a secret; we say ourselves what failed."""
    logger = logging.getLogger("prefect")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


CHANNELS: Final[dict[str, Channel]] = {"webhook": _WebhookChannel(), "prefect": _PrefectChannel()}


def alert(incident: Incident) -> bool:
    """Tell people by every way that is set; return whether one of them arrived. Fulfils `incident.Alert`."""
    arrived = False
    for channel in CHANNELS.values():
        if channel.is_set():
            try:
                channel.send(incident)
            except TowpathError as error:
                complain(error)
            else:
                arrived = True
    return arrived


def is_anybody_listening() -> bool:
    """Return whether an alert would go anywhere but to the terminal."""
    return any(channel.is_set() for channel in CHANNELS.values())
