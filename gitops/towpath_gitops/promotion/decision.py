"""The decision document: what a change means for those who use the model, from evidence alone.

`decide` collects it, `Decision` is its form for machines, `markdown` the one for people. What is missing is shown as a
failing line: missing evidence is never a pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from towpath_gitops.promotion.eligibility import Reason
from towpath_gitops.promotion.markdown import cell, table, text
from towpath_gitops.records.base import ApiVersion, Digest, Line, Name, Record, Semver, short
from towpath_gitops.records.deployment import ChangeType, Deployment, PinnedRelease
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.release import Release

_MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.ERROR: "❌", Verdict.INCONCLUSIVE: "⏸️"}
_UNSEEN = "missing: never a pass"


class Gate(Record):
    """One line of the table of gates."""

    kind: Kind
    gate: str
    verdict: Verdict
    message: str
    measured: float | None = None
    interval: tuple[float, float] | None = None
    limit: float | None = None


class Comparison(Record):
    """Champion against challenger on the same rows."""

    metric: str
    champion: float
    challenger: float
    difference: float
    interval: tuple[float, float] | None = Field(default=None, description="confidence interval of the difference")
    rows: int | None = None
    window: tuple[str | None, str | None] | None = Field(
        default=None, description="from when until when, by the data's time"
    )
    flips: int | None = Field(default=None, description="rows that the two decide differently")


class Differences(Record):
    """What differs between the release that goes and the one that comes."""

    semver: Literal["first", "major", "minor", "patch", "none"]
    input_schema: bool
    code: bool
    data: bool
    words: tuple[str, ...] = Field(description="the same, in sentences")


class Decision(Record):
    """`decision.json`: everything that a reviewer is shown."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    kind: Literal["Decision"] = "Decision"
    type: ChangeType
    model: Name
    environment: Name
    summary: str = Field(description="the change in one sentence")
    reason: Line
    release: PinnedRelease
    replaces: PinnedRelease | None
    evidence: Digest | None
    gates: tuple[Gate, ...]
    comparison: Comparison | None
    differences: Differences
    rollback_target: str = Field(description="where a rollback would lead, in words")
    reasons: tuple[Reason, ...] = Field(description="why it may not be merged as things stand")
    approvals: Annotated[int, Field(ge=0)] = Field(description="how many are needed")

    @property
    def semver(self) -> Semver:
        """The semantic version of the release that comes."""
        return self.release.semver


def decide(  # noqa: PLR0913 (a document has many sources; each is named where it is called)
    before: Deployment,
    after: Deployment,
    *,
    evidence: Mapping[Kind, Evidence],
    demanded: Iterable[Kind],
    reasons: Sequence[Reason],
    rollback_target: str,
    approvals: int,
) -> Decision:
    """Collect the decision document of the change from `before` to `after`.

    Raises:
        ValueError: `after` declares nothing.
    """
    if after.release is None or after.change is None:
        message = "a deployment without a release changes nothing"
        raise ValueError(message)
    return Decision(
        type=after.change.type,
        model=after.model,
        environment=after.environment,
        summary=summary(before, after),
        reason=after.change.reason,
        release=after.release,
        replaces=before.release,
        evidence=after.change.evidence,
        gates=tuple(_gates(evidence, demanded)),
        comparison=_comparison(evidence.get(Kind.COMPARISON)),
        differences=differences(before.declared, after.release.release(after.model)),
        rollback_target=rollback_target,
        reasons=tuple(reasons),
        approvals=approvals,
    )


def summary(before: Deployment, after: Deployment) -> str:
    """Say in one sentence what the change does."""
    new = _named(after.release)
    if after.change and after.change.type is ChangeType.ROLLBACK:
        return f"{after.environment} goes back from {after.model} {_named(before.release)} to {new}."
    if before.release is None:
        return f"{after.environment} begins to serve {after.model}, with {new}."
    return f"{after.environment} serves {after.model} {new} instead of {_named(before.release)}."


def differences(old: Release | None, new: Release) -> Differences:
    """Say what differs between two releases, and what the semantic version means by it."""
    if old is None:
        return Differences(
            semver="first", input_schema=True, code=True, data=True, words=("It is the first release here.",)
        )
    changed = [getattr(old, field) != getattr(new, field) for field in ("input_schema", "code", "data")]
    step: Literal["major", "minor", "patch", "none"] = "none"
    for part, name in zip(range(3), ("major", "minor", "patch"), strict=True):
        if _parts(old)[part] != _parts(new)[part]:
            step = name  # type: ignore[assignment]  # one of the three names above
            break
    return Differences(
        semver=step, input_schema=changed[0], code=changed[1], data=changed[2], words=tuple(_words(old, new, changed))
    )


def _parts(release: Release) -> list[int]:
    return [int(part) for part in release.semver.split(".")]


def _words(old: Release, new: Release, changed: Sequence[bool]) -> Iterable[str]:
    schema, code, data = changed
    if schema:
        yield "The input schema changes: callers may have to send other columns (a major version)."
    else:
        yield "The input schema is the same: callers need not change."
    yield f"Trained by commit {new.code[:12]}, before by {old.code[:12]}." if code else f"Same code: {new.code[:12]}."
    yield (
        f"Trained on data {short(new.data)}, before on {short(old.data)}." if data else f"Same data: {short(new.data)}."
    )


def _gates(evidence: Mapping[Kind, Evidence], demanded: Iterable[Kind]) -> Iterable[Gate]:
    for kind in dict.fromkeys((*demanded, *sorted(evidence))):
        item = evidence.get(kind)
        if item is None or not item.findings:
            yield Gate(kind=kind, gate="–", verdict=Verdict.ERROR, message=_UNSEEN)  # noqa: RUF001 (a dash)
            continue
        for finding in item.findings:
            fields = finding.model_dump(exclude={"needed_rows"})
            yield Gate(kind=kind, **fields)


def _comparison(evidence: Evidence | None) -> Comparison | None:
    """Read the figures of comparison evidence; None when there are none, as for the first release."""
    known = {
        key: value for key, value in (evidence.details if evidence else {}).items() if key in Comparison.model_fields
    }
    try:
        return Comparison.model_validate(known)
    except ValidationError:
        return None


# --- for people ---------------------------------------------------------------------------------------------------


def markdown(decision: Decision) -> str:
    """Return the decision document in Markdown; no word of evidence or reason can add markup of its own."""
    parts = [
        f"# {_title(decision)}",
        text(decision.summary),
        f"**Why:** {text(decision.reason)}",
        *_verdict(decision),
        *_figures(decision.comparison),
        *_gate_table(decision),
        "## What changes",
        "\n".join(f"- {text(words)}" for words in decision.differences.words),
        "## If it goes wrong",
        text(decision.rollback_target),
        _fine_print(decision),
    ]
    return "\n\n".join(parts) + "\n"


def title(decision: Decision) -> str:
    """Return the title of the pull request."""
    if decision.type is ChangeType.ROLLBACK:
        return f"Roll {decision.model} in {decision.environment} back to {decision.semver}"
    return f"Promote {decision.model} {decision.semver} to {decision.environment}"


def _title(decision: Decision) -> str:
    return text(title(decision))


def _verdict(decision: Decision) -> Iterable[str]:
    votes = f"{decision.approvals} approval{'s' if decision.approvals != 1 else ''} of an owner who did not write it"
    needed = f"It needs {votes}." if decision.approvals else "It needs no approval."
    if not decision.reasons:
        return ["## Verdict", f"✅ Nothing stands against it. {needed}"]
    lines = [f"- `{reason.rule}` {text(str(reason))}" for reason in decision.reasons]
    return ["## Verdict", "❌ As things stand it may not be merged:", "\n".join(lines), needed]


def _figures(comparison: Comparison | None) -> Iterable[str]:
    if comparison is None:
        return []
    row = [
        comparison.metric,
        _number(comparison.champion),
        _number(comparison.challenger),
        f"{comparison.difference:+.4f}",
        _interval(comparison.interval),
        _count(comparison.rows),
        " to ".join(str(end or "…") for end in comparison.window or ()),
        _count(comparison.flips),
    ]
    heads = ["metric", "champion", "challenger", "difference", "interval", "rows", "window", "decisions that flip"]
    return ["## Champion against challenger", table(heads, [row])]


def _gate_table(decision: Decision) -> Iterable[str]:
    if not decision.gates:
        return ["## Gates", "None is asked of this change."]
    heads = ["", "evidence", "gate", "measured", "interval", "limit", "finding"]
    return ["## Gates", table(heads, [_gate_row(gate) for gate in decision.gates])]


def _gate_row(gate: Gate) -> list[str]:
    finding = gate.message if gate.verdict is Verdict.PASS else f"{gate.verdict}: {gate.message}"
    figures = [_number(gate.measured), _interval(gate.interval), _number(gate.limit)]
    return [_MARKS[gate.verdict], gate.kind, gate.gate, *figures, finding]


def _fine_print(decision: Decision) -> str:
    release = decision.release
    facts: list[tuple[str, Any]] = [
        ("release", release.id),
        ("replaces", decision.replaces.id if decision.replaces else "nothing"),
        ("artifact", release.artifact),
        ("input schema", release.input_schema),
        ("data", release.data),
        ("code", release.code),
        ("evidence", decision.evidence or "none"),
    ]
    rows = "\n".join(f"| {cell(name)} | `{value}` |" for name, value in facts)
    return f"<details><summary>Digests</summary>\n\n| what | digest |\n| --- | --- |\n{rows}\n\n</details>"


def _named(release: PinnedRelease | None) -> str:
    return f"{release.semver} ({short(release.id)})" if release else "nothing"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".") or "0"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _interval(value: tuple[float, float] | None) -> str:
    return "" if value is None else f"{value[0]:.4f} to {value[1]:.4f}"
