"""The decision document for people, in Markdown; no word of evidence or reason can add markup of its own."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from towpath_gitops.promotion import wording
from towpath_gitops.promotion.decision import Compared, Data, Decision, Gate, Rows, Upstream
from towpath_gitops.promotion.loading import LOAD, loads
from towpath_gitops.promotion.loading import setting as setting_of_load
from towpath_gitops.promotion.markdown import bullets, code, folded, heading, image, link, table, text
from towpath_gitops.records.base import short
from towpath_gitops.records.deployment import ChangeType
from towpath_gitops.records.evidence import ONE_GRAPH, OWN_CODE, Kind, Verdict
from towpath_gitops.records.figures import (
    ComparisonFigures,
    EvaluationFigures,
    Footprint,
    MetricDifference,
    Price,
    Replay,
    Rivals,
)

MARKS: Final = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.ERROR: "❌", Verdict.INCONCLUSIVE: "⏸️"}
_WORST: Final = 8  # segments in the table; the picture shows more

_WARNINGS: Final = {ONE_GRAPH: "No graph serves it", OWN_CODE: "It runs code of its owner's"}  # when measured is not 0
_IN_SIGHT: Final = {Kind.EVALUATION, Kind.COMPARISON, Kind.LOAD}
_GATES: Final = ("", "evidence", "gate", "measured", "interval", "limit", "finding")

Section = Callable[[Decision], Iterator[str]]


def markdown(decision: Decision) -> str:
    """Return the decision document in Markdown."""
    parts = [f"# {text(decision.title)}"]
    if decision.type is ChangeType.HOTFIX:
        above = text(decision.skipped or "nothing")
        parts.append(f"**⚠️ Hotfix.** It goes around {above}: no verification and no soak there, and reports flag it.")
    warned = [gate for gate in decision.gates if gate.measured and gate.gate in _WARNINGS]
    parts += [f"**⚠️ {_WARNINGS[gate.gate]}.** {text(_sentence(gate.message))}" for gate in warned]
    parts += [text(decision.summary), f"**Why:** {text(decision.reason)}"]
    for section in SECTIONS:
        parts += section(decision)
    return "\n\n".join(parts) + "\n"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


# --- may it be merged? --------------------------------------------------------------------------------------------


def _verdict(decision: Decision) -> Iterator[str]:
    votes = wording.count(decision.approvals, "approval") + " of an owner who did not write it"
    needed = f"It needs {votes}." if decision.approvals else "It needs no approval."
    yield heading("Verdict")
    if not decision.reasons:
        yield f"✅ Nothing stands against it. {needed}"
        return
    yield "❌ As things stand it may not be merged:"
    yield bullets(f"{code(reason.rule)} {text(str(reason))}" for reason in decision.reasons)
    yield needed


def _gates(decision: Decision) -> Iterator[str]:
    """Show what was not passed and what was measured against people's limits; the others fold away."""
    if not decision.gates:
        return
    shown = [gate for gate in decision.gates if gate.verdict is not Verdict.PASS or gate.kind in _IN_SIGHT]
    others = [gate for gate in decision.gates if gate not in shown]
    red = sum(gate.verdict is not Verdict.PASS for gate in decision.gates)
    total = wording.count(len(decision.gates), "gate")
    yield heading("Gates")
    yield f"{total}, {red} of them not passed." if red else f"All of {total} passed."
    if shown:
        yield table(_GATES, [_gate(gate) for gate in shown], right=(3, 4, 5))
    if others:
        passed = f"{wording.count(len(others), 'more gate')} passed"
        yield folded(passed, table(_GATES, [_gate(gate) for gate in others], right=(3, 4, 5)))


def _gate(gate: Gate) -> list[str]:
    finding = gate.message if gate.verdict is Verdict.PASS else f"{gate.verdict}: {gate.message}"
    figures = [_figure(gate.measured), wording.between(gate.interval), _figure(gate.limit)]
    return [MARKS[gate.verdict], gate.kind, gate.gate, *figures, finding]


def _figure(value: float | None) -> str:
    return "" if value is None else wording.figure(value)


# --- what callers will notice -------------------------------------------------------------------------------------

METRICS: Final = ("metric", "champion", "challenger", "difference", "interval", "standing", "margin")
SEGMENTS: Final = ("segment", "rows", "flips", "share", "95% interval")
CALIBRATION: Final = ("", "expected calibration error", "95% interval")
EVALUATED: Final = ("metric", "value", "95% interval")
DATA: Final = ("data", "digest", "rows", "from when until when")


def _comparison(decision: Decision) -> Iterator[str]:
    compared = decision.compared
    if compared is None:
        return
    yield heading("Champion against challenger")
    rivals = compared.figures.rivals
    if rivals is None:
        yield text(f"{(compared.figures.silence or '').rstrip('.')}.")
        yield from _alone(decision)
        return
    yield text(setting(compared, rivals))
    yield from _picture(decision, "differences.svg")
    yield table(METRICS, [metric(each) for each in rivals.metrics], right=(1, 2, 3, 4, 6))
    yield heading("What callers will notice", 3)
    yield text(flips(rivals.replay))
    yield from _picture(decision, "flips.svg")
    found = segments(rivals.replay)
    if found:
        yield table(SEGMENTS, found, right=(1, 2, 3, 4))
    known = calibrations(rivals)
    if known:
        yield heading("Calibration", 3)
        yield from _picture(decision, "reliability.svg")
        yield table(CALIBRATION, known, right=(1, 2))


def setting(compared: Compared, rivals: Rivals) -> str:
    """Say who was compared, and on what."""
    champion = compared.champion.words if compared.champion else "nobody"
    role = "which this change replaces" if compared.is_replaced else f"which {compared.served_in} declares"
    when = wording.period(rivals.window)
    span = f" from {when}" if when else ""
    return f"The champion is {champion}, {role}. Both answered the same {wording.count(rivals.rows, 'test row')}{span}."


def metric(row: MetricDifference) -> list[str]:
    """Return a metric's row for a table under `METRICS`."""
    return [
        row.label,
        wording.figure(row.champion),
        wording.figure(row.challenger),
        wording.signed(row.difference),
        wording.between(row.interval, sign=True),
        row.standing,
        "" if row.margin is None else f"{row.margin:g}",
    ]


def flips(replay: Replay) -> str:
    """Say how many decisions change, what becomes of them, and where most do."""
    changed = f"{wording.count(replay.flips)} ({wording.percent(replay.share)})"
    rows = f"{wording.count(replay.rows, 'row')} of the replay (the fixed sample {short(replay.digest)})"
    sentences = [f"Of {rows}, {changed} {_outcome(replay)}."]
    worst = replay.worst
    if worst is not None:
        share = f"{wording.percent(worst.share)} of {wording.count(worst.rows, 'row')}"
        sentences.append(f"Most change where {wording.place(worst)}: {share}.")
    if replay.unanswered:
        left = wording.count(replay.unanswered, "row")
        sentences.append(f"Left out: {left} for which one of the two gives no number.")
    return " ".join(sentences)


def _outcome(replay: Replay) -> str:
    better, worse = wording.count(replay.corrected), wording.count(replay.spoiled)
    if replay.tolerance is None:
        what, became = "are decided differently", f"{better} become right, {worse} become wrong"
    else:
        limit = f"{wording.figure(replay.tolerance)}, a tenth of the truth's standard deviation"
        what = f"get an answer that differs by more than {limit}"
        became = f"{better} come nearer to the truth, {worse} go farther from it"
    return f"{what}: {became}" if replay.flips else what


def segments(replay: Replay) -> list[list[str]]:
    """Return the segments in which decisions flip, worst first, for a table under `SEGMENTS`."""
    return [
        [
            wording.place(each),
            wording.count(each.rows),
            wording.count(each.flips),
            wording.percent(each.share),
            f"{wording.percent(each.interval[0])} to {wording.percent(each.interval[1])}",
        ]
        for each in [segment for segment in replay.ranked if segment.flips][:_WORST]
    ]


def calibrations(rivals: Rivals) -> list[list[str]]:
    """Return how well both are calibrated, for a table under `CALIBRATION`; nothing without probabilities."""
    known = [("champion", rivals.champion), ("challenger", rivals.challenger)]
    return [
        [name, wording.figure(each.error), wording.between(each.interval)] for name, each in known if each is not None
    ]


def evaluated(figures: EvaluationFigures) -> list[list[str]]:
    """Return every metric of a release by itself, for a table under `EVALUATED`."""
    return [
        [each.label or name, wording.figure(each.value), wording.between((each.low, each.high))]
        for name, each in figures.metrics.items()
    ]


def _alone(decision: Decision) -> Iterator[str]:
    """Say how good the release is by itself, where there is nobody to compare it with."""
    if decision.evaluation is None:
        return
    when = wording.period(decision.evaluation.window)
    span = f" from {when}" if when else ""
    yield text(f"By itself, on {wording.count(decision.evaluation.rows, 'test row')}{span}:")
    yield table(EVALUATED, evaluated(decision.evaluation), right=(1, 2))
    yield from _picture(decision, "reliability.svg")


def _picture(decision: Decision, name: str) -> Iterator[str]:
    yield from (image(picture.says, picture.to) for picture in decision.pictures if picture.name == name)


# --- what it costs ------------------------------------------------------------------------------------------------


def _cost(decision: Decision) -> Iterator[str]:
    if decision.compared is None:
        return
    heads, rows = costs(decision.compared.figures)
    yield heading("Latency, memory and cost")
    yield "Measured side by side in one process, in the engine that serves, on one thread and without the network."
    yield table(heads, rows, right=(1, 2))


def costs(figures: ComparisonFigures) -> tuple[list[str], list[list[str]]]:
    """Return the heads and rows of a table of what the releases cost where they serve."""
    known = [("champion", figures.footprints.champion), ("challenger", figures.footprints.challenger)]
    sides = [(name, each) for name, each in known if each is not None]
    rows = [[label, *(write(each, figures.price) for _, each in sides)] for label, write in _COSTS]
    return ["", *(name for name, _ in sides)], [row for row in rows if any(row[1:])]


def _memory(side: Footprint, _: Price | None) -> str:
    return "not told by this system" if side.memory_bytes is None else wording.size(side.memory_bytes)


def _money(side: Footprint, price: Price | None) -> str:
    return wording.money(price, price.of_million(side)) if price else ""


_COSTS: Final[Sequence[tuple[str, Callable[[Footprint, Price | None], str]]]] = (
    ("one row, median", lambda side, _: wording.duration(side.one_row_ms)),
    ("100 rows, median", lambda side, _: wording.duration(side.hundred_rows_ms)),
    ("CPU seconds for a million predictions", lambda side, _: wording.figure(side.cpu_s_per_million)),
    ("cost of a million predictions", _money),
    ("memory of a loaded lane", _memory),
    ("artifact, without its card", lambda side, _: wording.size(side.artifact_bytes)),
    ("engine", lambda side, _: side.engine),
)


def _load(decision: Decision) -> Iterator[str]:
    if decision.load is None:
        return
    found, champion = decision.load.figures, decision.load.champion
    yield heading("Under load")
    yield text(f"{setting_of_load(found)}{f' The champion was {champion.words}.' if champion else ''}")
    yield from _picture(decision, "load.svg")
    yield table(LOAD, loads(found), right=(1, 2, 3, 4, 5))


# --- what changed, and what was before ----------------------------------------------------------------------------


def _changes(decision: Decision) -> Iterator[str]:
    if decision.images:
        old, new = (image or "none" for image in decision.images)
        yield heading("What changes")
        yield table(["", "image"], [["before", old], ["after", new]])
    found = decision.differences
    if found is None:
        return
    yield heading("What changes")
    yield bullets(text(words) for words in found.words)
    if found.steps:
        lines = [f"{code(step.commit[:12])} {text(step.subject)}" for step in found.steps]
        lines += [text(f"and {found.more_steps:,} more")] if found.more_steps else []
        yield folded(f"Commits between the two ({len(found.steps) + found.more_steps:,})", bullets(lines))
    if decision.data is not None:
        yield table(DATA, data(decision.data), right=(2,))


def data(found: Data) -> list[list[str]]:
    """Return the data of both releases, for a table under `DATA`."""
    sides = [("before", found.old), ("now", found.new)]
    return [[name, *_rows(side)] for name, side in sides if side is not None]


def _rows(side: Rows) -> list[str]:
    if side.figures is None:
        return [short(side.digest), "", ""]
    return [short(side.digest), wording.count(side.figures.total), wording.period(side.figures.window)]


def _experiment(decision: Decision) -> Iterator[str]:
    if decision.experiment is None:
        return
    tried = decision.experiment
    yield heading("The experiment")
    rows = [
        ["challenger", f"{tried.challenger.semver} ({short(tried.challenger.id)})"],
        ["mode", tried.mode],
        ["share of requests", wording.percent(tried.share)],
    ]
    yield table(["what", "how"], rows)


def _blocked(decision: Decision) -> Iterator[str]:
    if decision.blocked:
        yield heading("Blocked afterwards")
        yield bullets(f"{code(short(release))} may not come back by itself" for release in decision.blocked)


def _upstream(decision: Decision) -> Iterator[str]:
    if decision.upstream is not None:
        yield heading("Where it serves already")
        yield text(upstream(decision.upstream, decision.environment))


def upstream(found: Upstream, environment: str) -> str:
    """Say how the release fares in the environment before."""
    healthy = f"healthy since {_moment(found.healthy_since)}" if found.healthy_since else "not healthy there now"
    return (
        f"{found.environment}: its latest verification, of {_moment(found.verified)}, says {found.verdict}; {healthy}. "
        f"{environment} asks for {found.soak} of that."
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _image(decision: Decision) -> Iterator[str]:
    """Show what is around the model: reviewers see a base or a library that nobody vouched for."""
    record = decision.image
    if record is None:
        return
    yield heading("The image")
    base = f"{record.base}@{record.base_digest}" if record.base_digest and "@" not in record.base else record.base
    facts = [
        ("image", record.image),
        ("built on", base),
        ("bill of materials", record.sbom),
        ("packages", f"{record.packages}"),
        ("compressed size", f"{record.size_bytes / 1e6:.0f} MB"),
        ("runs as", record.user),
        ("built by", f"{record.tool}, {_moment(record.created)}"),
    ]
    yield table(["what", "is"], facts)
    if record.unvouched:
        yield text(f"No lock file knew the hash of {', '.join(record.unvouched)} before it was built.")


def _way_back(decision: Decision) -> Iterator[str]:
    yield heading("If it goes wrong")
    yield text(decision.way_back.words)
    if decision.way_back.reasons:
        yield bullets(f"{code(reason.rule)} {text(str(reason))}" for reason in decision.way_back.reasons)


def _fine_print(decision: Decision) -> Iterator[str]:
    if decision.links:
        yield heading("Look for yourself")
        yield bullets(link(each.what, each.to) for each in decision.links)
    release = decision.release
    facts = [
        ("release", release.id),
        ("replaces", decision.replaces.id if decision.replaces else "nothing"),
        ("artifact", release.artifact),
        ("input schema", release.input_schema),
        ("data", release.data),
        ("code", release.code),
        ("evidence", decision.evidence or "none"),
    ]
    facts += [("image", release.image)] if release.image else []
    lines = ["| what | digest |", "| --- | --- |", *(f"| {text(name)} | {code(value)} |" for name, value in facts)]
    yield folded("Digests", "\n".join(lines))


# In the order in which a reviewer asks. A section that has nothing to say is silent.
SECTIONS: Final[Sequence[Section]] = (
    _verdict,
    _experiment,
    _comparison,
    _cost,
    _load,
    _gates,
    _changes,
    _blocked,
    _upstream,
    _image,
    _way_back,
    _fine_print,
)
