"""The decision document as machines read it: what a change means for those who use the model.

`deciding.decide` makes it from evidence and history alone; `document.markdown` writes it for people.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt

from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.base import ApiVersion, Commit, Digest, Image, Line, Name, Record, short
from towpath_gitops.records.deployment import ChangeType, Experiment, PinnedRelease
from towpath_gitops.records.evidence import Kind, Verdict
from towpath_gitops.records.figures import ComparisonFigures, DataFigures, EvaluationFigures
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.load import LoadSummary


class Gate(Record):
    """One line of the table of gates."""

    kind: Kind
    gate: Line
    verdict: Verdict
    message: Line
    measured: float | None = None
    interval: tuple[float, float] | None = None
    limit: float | None = None


class Named(Record):
    """A release as a sentence names it."""

    id: Digest
    semver: str

    @property
    def words(self) -> str:
        """Name it."""
        return f"{self.semver} ({short(self.id)})"


class Compared(Record):
    """The comparison with the champion: what the last environment of the policy declares."""

    champion: Named | None = Field(description="whom it was compared with; null when there was nobody")
    served_in: Name = Field(description="the last environment")
    is_replaced: bool = Field(description="the champion is the release that this change replaces")
    figures: ComparisonFigures


class Loaded(Record):
    """What the release did under load, beside the champion of that day."""

    champion: Named | None = Field(description="who served beside it; null when there was nobody")
    figures: LoadSummary


class Step(Record):
    """One commit between two releases."""

    commit: Commit
    subject: str


class Differences(Record):
    """What differs between the release that goes and the one that comes."""

    semver: Literal["first", "major", "minor", "patch", "none"]
    input_schema: bool
    code: bool
    data: bool
    words: tuple[str, ...] = Field(description="the same, in sentences")
    steps: tuple[Step, ...] = Field(default=(), description="commits from the one to the other, newest first")
    more_steps: NonNegativeInt = Field(default=0, description="how many more there are")


class Rows(Record):
    """The data behind a release."""

    digest: Digest
    figures: DataFigures | None = Field(description="null where no evidence tells")


class Data(Record):
    """The data behind the release that comes, and the one that goes."""

    new: Rows
    old: Rows | None


class Upstream(Record):
    """How the release fares in the environment before."""

    environment: Name
    verdict: Verdict = Field(description="of its latest verification there")
    verified: AwareDatetime
    healthy_since: AwareDatetime | None = Field(description="null when it does not serve there, or not healthily")
    soak: str = Field(description="how long it must have been healthy there")


class WayBack(Record):
    """Where a rollback of this change would lead."""

    release: Named | None
    safe: bool = Field(description="whether one could return to it right now")
    words: str
    reasons: tuple[Reason, ...] = Field(default=(), description="why it is not safe")


class Link(Record):
    """Something to look at."""

    what: str
    to: str = Field(description="a web page, a path in the repository, or an identifier")


class Picture(Record):
    """A picture of the evidence, committed with it."""

    name: str
    says: str = Field(description="what it shows, for those who cannot see it")
    to: str


class Decision(Record):
    """`decision.json`: everything that a reviewer is shown."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    kind: Literal["Decision"] = "Decision"
    type: ChangeType
    model: Name
    environment: Name
    title: Line = Field(description="of the pull request")
    summary: str = Field(description="the change in one sentence")
    reason: Line
    release: PinnedRelease = Field(description="the release that the change is about")
    replaces: PinnedRelease | None = Field(description="what is declared now")
    evidence: Digest | None
    reasons: tuple[Reason, ...] = Field(description="why it may not be merged as things stand")
    approvals: Annotated[int, Field(ge=0)] = Field(description="how many are needed")
    gates: tuple[Gate, ...] = Field(description="of each kind of evidence")
    compared: Compared | None = Field(description="null where no evidence is asked for")
    evaluation: EvaluationFigures | None
    load: Loaded | None = Field(default=None, description="null where it was not put under load")
    differences: Differences | None = Field(description="null where the release stays")
    data: Data | None
    upstream: Upstream | None = Field(description="null in the first environment, and where it is skipped")
    skipped: Name | None = Field(default=None, description="the environment that a hotfix skips")
    experiment: Experiment | None = Field(default=None, description="what runs beside the champion afterwards")
    blocked: tuple[Digest, ...] = Field(default=(), description="releases that may not come back afterwards")
    images: tuple[Image | None, Image | None] | None = Field(
        default=None, description="the images of a change that only repackages, old and new"
    )
    image: ImageRecord | None = Field(default=None, description="of the image that carries it, where one is on record")
    way_back: WayBack
    pictures: tuple[Picture, ...] = ()
    links: tuple[Link, ...] = ()
