"""`model.yaml` of a model repository: what was inferred, with the reason beside each line."""

import math
from dataclasses import dataclass
from typing import Final

import pandas as pd

from towpath_flows.data_spec import QualitySpec
from towpath_flows.inference.naming import comment, one_line, yaml_scalar
from towpath_flows.inference.roles import Roles
from towpath_flows.inference.trial import Trial
from towpath_flows.text_spec import TextSpec

MOST_EXPLAINED: Final = 200  # excluded columns, each with a line and its reason; more stand in one list
_REPEATED: Final = {
    "overlap": "of the test rows equal a training row in every column",
    "duplicates": "of the rows equal an earlier row in every column",
}
_FEWER: Final = 0.8  # of the rows of a small table that must be there next time
_MOST_NAMED: Final = 5  # columns in one sentence
_MANY_CELLS: Final = 5_000_000  # rows times columns from which fewer trials are worth their time
_PLAIN: Final = {  # settings of separated text, and what is said of each
    "separator": "",
    "encoding": "",
    "decimal": " # before the decimals of a number",
    "thousands": " # between groups of three digits",
    "quote": " # around fields that hold a separator",
    "skip": " # lines above the names of the columns",
    "padded": " # spaces follow the separators",
}
_HEAD: Final = """\
# yaml-language-server: $schema=.towpath/schemas/model.json
# What is trained, how it is judged and how it is watched. `towpath infer` wrote it from {rows:,} rows of the table;
# from here on it is yours. `towpath doctor` checks it; so does every editor that reads the line above (run `make
# schemas` once).
"""


@dataclass(frozen=True)
class Names:
    """What the repository calls things: model, package, the schema's class, the file and its dialect, the libraries."""

    model: str
    package: str
    schema: str
    file: str
    frameworks: tuple[str, ...]
    text: TextSpec


def draft(names: Names, roles: Roles) -> str:
    """Return what is enough to try it: the roles, without shares and gates."""
    lines = [f"name: {yaml_scalar(names.model)}", *_roles(roles), *_sources(names)]
    return "\n".join(lines) + "\n"


def model_text(names: Names, roles: Roles, trial: Trial) -> str:
    """Return the whole file."""
    blocks = [
        [*_HEAD.format(rows=roles.target.rows).splitlines(), f"name: {yaml_scalar(names.model)}", *_roles(roles)],
        _sources(names),
        _training(names, roles, trial),
        _quality(trial),
        _gates(roles, trial),
        _live(trial),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _roles(roles: Roles) -> list[str]:
    target = yaml_scalar(roles.target.name)
    lines = [f"task: {roles.task}", f"target: {target}"]
    if roles.task == "binary":
        lines.append(f"positive: {yaml_scalar(roles.positive)} # the value whose probability is answered")
    if roles.time:
        lines.append(f"time: {yaml_scalar(roles.time)} # split and watched in this order")
    else:
        lines.append("time: null # no column is evidently the time of a row: split at random")
    if roles.entity:
        lines.append(f"entity: {yaml_scalar(roles.entity)} # names a row; never a feature")
    return lines + _excluded(roles)


def _excluded(roles: Roles) -> list[str]:
    named = {roles.target.name, roles.time, roles.entity}
    aside = [column for column in roles.columns if column.aside and not column.lost and column.name not in named]
    if not aside:
        return ["exclude: [] # name columns here that are not known yet when the model is asked"]
    if len(aside) > MOST_EXPLAINED:
        return [f"exclude: [{', '.join(yaml_scalar(column.name) for column in aside)}] # schema.py says why"]
    return ["exclude: # in the table, but no features", *(f"  - {yaml_scalar(c.name)} # {c.aside}" for c in aside)]


def _sources(names: Names) -> list[str]:
    return [
        *_file(names),
        f"schema: {names.package}.schema:{names.schema}",
        f"# features: {names.package}.features:build # a scikit-learn transformer; without it one is derived",
    ]


def _file(names: Names) -> list[str]:
    told = names.text.model_dump(exclude_defaults=True)
    if not told:
        return [f"data:\n  train: {{file: {yaml_scalar(names.file)}}}\n"]
    written = {name: yaml_scalar("tab" if value == "\t" else value) for name, value in told.items() if name in _PLAIN}
    lines = [f"{name}: {value}{_PLAIN[name]}" for name, value in written.items()]
    if names.text.missing:
        marks = ", ".join(map(yaml_scalar, names.text.missing))
        lines.append(f"missing: [{marks}] # mean that there is no value, besides nothing, NA, NaN, null and their like")
    if names.text.dates:
        forms = (f"  {yaml_scalar(name)}: {yaml_scalar(form)}" for name, form in names.text.dates.items())
        lines += ["dates: # how they are written, day (%d), month (%m) and year (%Y)", *forms]
    if names.text.units:
        units = (f"  {yaml_scalar(name)}: {yaml_scalar(unit)}" for name, unit in names.text.units.items())
        lines += ["units: # what stands beside their numbers; times are read as seconds", *units]
    return [
        "data:",
        "  train:",
        f"    file: {yaml_scalar(names.file)}",
        "    csv: # how it is written: see that the numbers and letters in it are read right",
        *(f"      {line}" for line in lines),
        "",
    ]


def _training(names: Names, roles: Roles, trial: Trial) -> list[str]:
    shares = f"{{validation: {trial.shares.validation:g}, test: {trial.shares.test:g}}}"
    rows = ", ".join(f"{count:,} to {name}" for name, count in trial.rows.items())
    how = (
        "the latest rows are the test"
        if trial.timed
        else "at random" + (", each class alike" * (roles.task != "regression"))
    )
    many = sum(trial.rows.values()) * max(1, len(roles.features)) > _MANY_CELLS
    few = ", few because the table is large" if many else ""
    return [
        f"split: {shares} # {rows}; {how}",
        f"train: {{frameworks: [{', '.join(names.frameworks)}], seed: 7}}",
        f"tune: {{trials: {4 if many else 12}, timeout: 5m, folds: {2 if many else 3}}} # how many sets to try{few}",
    ]


def _quality(trial: Trial) -> list[str]:
    usual, lines, strong = QualitySpec(), [], _too_strong(trial)
    if strong:
        head = f"  leakage: # each of these alone predicts with {usual.leakage.max:g} or more: is it known in time?"
        lines += [head, "    known:"]
        lines += [f"      - {yaml_scalar(name)} # {trial.leaks[name]:.2f}" for name in strong]
    for rule, measured in trial.breaches.items():
        if rule in _REPEATED:
            lines.append(f"  {rule}: {min(100, math.ceil(measured * 150))}% # {measured:.1%} {_REPEATED[rule]}")
    if "volume" in trial.breaches:
        least = int(trial.breaches["volume"] * _FEWER)
        lines.append(f"  volume: {{min: {least}}} # the table is small; usually {usual.volume.min} rows are the least")
    if "completeness" in trial.breaches:
        lines.append("  completeness: {min: 0} # some columns hardly ever have a value")
    return ["quality:", *lines] if lines else []


def _too_strong(trial: Trial) -> list[str]:
    """Return the columns that alone predict better than is usually borne, the strongest first."""
    limit = QualitySpec().leakage.max
    strong = [name for name, power in trial.leaks.items() if limit is not None and power >= limit]
    return sorted(strong, key=lambda name: -trial.leaks[name])


def _gates(roles: Roles, trial: Trial) -> list[str]:
    metric, level, margin, reached = gate_levels(trial)
    limit, word = ("max", "ceiling") if metric == "mae" else ("min", "floor")
    rival = f"{{metric: {metric}, against: champion, margin: {margin:g}, confidence: 0.95}}"
    lines = comment(
        "A release that misses one of these is registered, shown, and refused by every environment that asks for the "
        f"evidence. A first model reached {metric} {reached} on the validation rows, guessing "
        f"{trial.guessing[metric]:.4g}; the {word} lies halfway between guessing and the worse end of that. Move it "
        "when you know what is needed."
    )
    lines += [
        "gates:",
        f"  - {{metric: {metric}, {limit}: {level:g}}}",
        f"  - {rival} # no worse than what serves now",
        "  - {check: behaviour}",
    ]
    group = next((each for each in roles.features if each.categories), None)
    if group:
        gap = f"{margin * 5:g}"
        lines.append(
            f"  # - {{metric: {metric}, slice: {yaml_scalar(group.name)}, gap: {gap}, fdr: 0.05}} # none much worse off"
        )
    return lines


def gate_levels(trial: Trial) -> tuple[str, float, float, str]:
    """Return the metric, its limit, the margin to the champion, and what was reached, in words.

    The limit lies halfway between guessing and the worse end of the first model's interval; on guessing where no model
    did better. Of R² and the mean absolute error the one that shows a gain is taken: few large values move R² at will.
    """
    metric = next((name for name in trial.reached if _gain(trial, name) > 0), next(iter(trial.reached)))
    found, guess = trial.reached[metric], trial.guessing[metric]
    gain = max(0.0, _gain(trial, metric))
    sign = -1 if metric == "mae" else 1
    level = _round(guess + sign * gain / 2, scale=abs(guess) if metric == "mae" else 1.0)
    width = (found.high - found.low) / 2 if math.isfinite(found.high) else 0.0
    least = 0.01 if metric != "mae" else 0.01 * abs(guess)
    margin = _round(max(least, width / 2), scale=abs(guess) if metric == "mae" else 1.0)
    return metric, level, margin, f"{found.value:.4g} (95% interval {found.low:.4g} to {found.high:.4g})"


def _gain(trial: Trial, metric: str) -> float:
    """How much better than guessing the worse end of the interval is."""
    found, guess = trial.reached[metric], trial.guessing[metric]
    gain = guess - found.high if metric == "mae" else found.low - guess
    return gain if math.isfinite(gain) else 0.0


def _round(value: float, scale: float) -> float:
    """Round to a hundredth of the scale."""
    if not value or not scale or not math.isfinite(value):
        return 0.0
    digits = 2 - math.ceil(math.log10(scale)) if scale != 1.0 else 2
    return round(value, digits)


def _live(trial: Trial) -> list[str]:
    window = "30d" if trial.span is None else _duration(trial.span)
    what = "" if trial.span is None else " # as long as the test rows reach back"
    return [
        "serve: {p99: 50ms, rate: 200/s, errors: 0.1%} # what callers may expect",
        "monitor:",
        "  every: 1d",
        f"  window: {window}{what}",
        "  drift: {false_alarms: 1 per 30d}",
        "  labels: {delay: 1d} # how long after a row its outcome is known",
    ]


def _duration(span: pd.Timedelta) -> str:
    seconds = span.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{math.ceil(seconds / size)}{unit}"
    return "1m"


def told(roles: Roles, trial: Trial) -> list[str]:
    """Return what trying raised as doubts: too strong columns, copies, and a first model that learned nothing."""
    doubts, strong = [*trial.doubts], _too_strong(trial)
    if strong:
        names = ", ".join(one_line(name) for name in strong[:_MOST_NAMED])
        names += f" and {len(strong) - _MOST_NAMED} more" if len(strong) > _MOST_NAMED else ""
        best = f"with up to {trial.leaks[strong[0]]:.2f}"
        doubts.append(f"Alone these predict {one_line(roles.target.name)}, {best}: {names}. Is that known in time?")
    for rule, measured in trial.breaches.items():
        if rule in _REPEATED:
            doubts.append(f"{measured:.0%} {_REPEATED[rule]}: are rows repeated that should not be?")
    metric, *_ = gate_levels(trial)
    if _gain(trial, metric) <= 0:
        value = f"{metric} {trial.reached[metric].value:.3g}"
        doubts.append(f"A first model did not do better than guessing ({value}): is there a signal?")
    return doubts
