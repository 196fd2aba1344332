"""`Evidence`: what a gate measured and decided, bound to the release, the data and the gates it was measured with."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from importlib.metadata import version
from typing import Any, Final, Self

from pydantic import AwareDatetime, Field

from towpath_gitops.records.base import ApiVersion, Digest, Line, Name, Record, digest_of


class Verdict(StrEnum):
    """What a gate says. Only `pass` lets a release through; `inconclusive` holds and says what would settle it."""

    PASS = "pass"  # noqa: S105 (a verdict, not a password)
    FAIL = "fail"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"

    @classmethod
    def worst(cls, verdicts: Iterable[Self]) -> Self:
        """Return the gravest: error before fail before inconclusive before pass; error when there are none."""
        order = (cls.ERROR, cls.FAIL, cls.INCONCLUSIVE, cls.PASS)
        return min(verdicts, key=order.index, default=cls.ERROR)


class Kind(StrEnum):
    """What was examined."""

    DATA = "data"
    EVALUATION = "evaluation"
    COMPARISON = "comparison"
    BEHAVIOUR = "behaviour"
    PARITY = "parity"
    CONTRACT = "contract"
    LOAD = "load"
    VERIFICATION = "verification"


# Gates of parity evidence that warn: the first measures 1 where the native engine serves, the second is there only
# where the release carries code of its owner's.
ONE_GRAPH: Final = "one graph"
OWN_CODE: Final = "own code"

# Parts of model.yaml that explain what a gate names: a check's limits, a measure of the owner's own.
_EXPLAINED: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.DATA: ("quality",),
    Kind.PARITY: ("train.checks",),
    Kind.BEHAVIOUR: ("behaviour",),
    Kind.EVALUATION: ("business",),
    Kind.COMPARISON: ("business",),
}


class Finding(Record):
    """One gate's measurement against its limit, in words that a reviewer understands."""

    gate: Line = Field(description="which gate, as in model.yaml: `roc_auc ≥ 0.68`")
    verdict: Verdict
    message: Line = Field(description="what was found, in one sentence")
    measured: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = Field(default=None, description="confidence interval of `measured`")
    needed_rows: int | None = Field(default=None, description="rows that would settle an inconclusive verdict")


class Evidence(Record):
    """A dated, digestible statement of one kind about one release."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    kind: Kind
    model: Name
    release: Digest
    environment: Name | None = Field(default=None, description="where it was measured; null for training")
    gates: Digest = Field(description="digest of the gate configuration it was judged by")
    data: Digest | None = Field(default=None, description="digest of the data it was measured on")
    champion: Digest | None = Field(default=None, description="the release it was compared with")
    tool: Line = Field(default_factory=lambda: f"towpath {version('towpath')}")
    created: AwareDatetime
    findings: tuple[Finding, ...]
    details: dict[str, Any] = Field(default_factory=dict, description="figures behind the findings, by kind")

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings; error when there are none: missing evidence is never a pass."""
        return Verdict.worst(finding.verdict for finding in self.findings)

    @property
    def digest(self) -> str:
        """The digest of the canonical JSON of the evidence."""
        return digest_of(self.plain())

    def age_s(self, now: datetime) -> float:
        """Return the seconds since the evidence was created; negative for evidence from the future."""
        return (now - self.created).total_seconds()


def gate_digest(document: Mapping[str, Any], kind: Kind) -> str:
    """Return the digest of the part of `model.yaml` (already parsed) that judges evidence of `kind`.

    Load and contract evidence is judged by `serve`, everything else by `gates`; what a gate only names is judged by
    the part that explains it, where there is one. A changed part makes it stale.
    """
    part = "serve" if kind in {Kind.LOAD, Kind.CONTRACT} else "gates"
    found = {name: _part(document, name) for name in _EXPLAINED.get(kind, ())}
    explained = {name: _plain(value) for name, value in found.items() if value is not None}
    return digest_of({part: _plain(document.get(part)), **explained})


def _part(document: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 (whatever YAML can hold)
    """Return what lies at a dotted path, None where there is nothing."""
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def bundle_digest(evidence: Iterable[Evidence]) -> str:
    """Return the digest over a set of evidence, whatever its order: what a change states it rests on."""
    return digest_of({item.kind.value: item.digest for item in evidence})


def _plain(value: object) -> Any:  # noqa: ANN401 (JSON types)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or value is None:
        return value
    return float(value) if isinstance(value, float) else value
