"""An incident: what the guard tells people, once, and then at most hourly for as long as it lasts."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, Field, PositiveInt

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import ApiVersion, Commit, Digest, Line, Name, Record
from towpath_gitops.records.parsing import parse_json

REPEAT_AFTER: Final = timedelta(hours=1)


class What(StrEnum):
    """What has happened."""

    BREACH = "breach"  # a live release breaks its limits, and a person has to act
    SHIFTED = "shifted"  # traffic was moved away from it; main has to follow
    STRANDED = "stranded"  # it breaks its limits, and there is no release to move traffic to
    CHALLENGER = "challenger"  # the challenger of an experiment breaks the limits


class Incident(Record):
    """What is sent to whoever is on call, as JSON."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    kind: Literal["Incident"] = "Incident"
    what: What
    environment: Name
    model: Name
    release: Digest = Field(description="the release that does harm")
    serving: Digest | None = Field(description="the release that answers now")
    commit: Commit = Field(description="main's commit that declares the release")
    since: AwareDatetime
    at: AwareDatetime = Field(description="when this was said")
    summary: Line
    figures: Line = Field(description="what was measured, and the limit")
    pull: PositiveInt | None = Field(default=None, description="the pull request that asks main to follow")
    command: Line = Field(description="what to do next")

    @property
    def key(self) -> str:
        """What makes two of them the same incident."""
        return f"{self.what} {self.release} {self.commit}"


# Returns whether somebody was told.
Alert = Callable[[Incident], bool]


class _Told(Record):
    """`.towpath/guard/<environment>/<model>.alerts.json`: when each incident was told last."""

    at: dict[str, AwareDatetime]


def tell(root: Path, incident: Incident, alert: Alert, now: datetime) -> bool:
    """Tell people of an incident, unless they were told within the hour; return whether they were told now.

    It counts as told only when the alert arrived: otherwise the next look tries again.
    """
    path = layout.state(root, "guard", incident.environment, f"{incident.model}.alerts.json")
    told = _read(path)
    last = told.get(incident.key)
    if last is not None and timedelta() <= now - last < REPEAT_AFTER:
        return False
    if not alert(incident):
        return False
    recent = {key: at for key, at in told.items() if timedelta() <= now - at < REPEAT_AFTER}
    write_atomically(path, _Told(at=recent | {incident.key: now}).model_dump_json() + "\n")
    return True


def _read(path: Path) -> dict[str, datetime]:
    try:
        return parse_json(path.read_bytes(), _Told, source=str(path)).at
    except (FileNotFoundError, InvalidFileError):  # written atomically: a broken one was made by hand
        return {}
