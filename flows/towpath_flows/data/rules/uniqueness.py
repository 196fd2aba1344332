"""Does each row have a name of its own?"""

from towpath_flows.data.rules.base import Facts, Measure
from towpath_gitops.records.evidence import Verdict


def judge(facts: Facts) -> list[Measure]:
    """Count rows whose entity and time (or the owner's columns) occurred before; rows without a name cannot tell."""
    spec, frame = facts.spec, facts.frame
    limit, chosen = spec.quality.uniqueness.max, spec.quality.uniqueness.columns
    default = () if spec.entity is None else tuple(name for name in (spec.entity, spec.time) if name)
    columns = [name for name in (default if chosen is None else chosen) if name in frame]
    gate = f"repeated names ≤ {limit:.0%}"
    if not columns:
        return [Measure(gate, Verdict.PASS, "no column names the rows", measured=0, limit=limit)]
    named = frame[columns].notna().all(axis=1)
    share = float(frame.loc[named, columns].duplicated().sum() / len(frame))
    nameless = float(1 - named.mean())
    verdict = Verdict.FAIL if share > limit else Verdict.INCONCLUSIVE if nameless > limit else Verdict.PASS
    words = f"{share:.1%} of the rows repeat {' and '.join(columns)} of an earlier row"
    words += f"; {nameless:.1%} have no value there" if nameless else ""
    return [Measure(gate, verdict, words, columns[0] if len(columns) == 1 else "", share, limit)]
