"""Are today's rows of the same world as the last release's? Most features moving at once is a broken feed."""

from typing import Final

import numpy as np

from towpath_flows.data.drift import BINS, compare
from towpath_flows.data.rules.base import CONFIDENCE, NO_PAST, Facts, Measure
from towpath_gitops.records.evidence import Verdict

_MOST_SEEN: Final = 50_000  # rows that drift is computed on; evenly taken
_TOLD: Final = 5


def judge(facts: Facts) -> list[Measure]:
    """Count features with a major shift. Those that moved as far, but by chance for all we know, leave it open."""
    spec = facts.spec.quality.drift
    gate = f"features with a PSI of {spec.psi:g} or more ≤ {spec.share:.0%}"
    pairs = facts.beside_past
    if not pairs:
        words = NO_PAST if facts.past is None else "the last release had none of these features"
        verdict = Verdict.PASS if facts.past is None else Verdict.INCONCLUSIVE
        return [Measure(gate, verdict, words, measured=0, limit=spec.share)]
    rows = len(facts.frame)
    chosen = np.unique(np.linspace(0, rows - 1, min(rows, _MOST_SEEN)).astype(int))
    before = {name: sides[0] for name, sides in pairs.items()}
    today = {name: sides[1][chosen] for name, sides in pairs.items()}
    columns = compare(before, today, alpha=1 - CONFIDENCE)
    far = [column for column in columns if column.psi >= spec.psi]
    sure = [column.column for column in far if column.drifted]
    low, high = len(sure) / len(pairs), len(far) / len(pairs)
    verdict = Verdict.FAIL if low > spec.share else Verdict.INCONCLUSIVE if high > spec.share else Verdict.PASS
    told = f": {', '.join(sure[:_TOLD])}{', …' if len(sure) > _TOLD else ''}" if sure else ""
    words = f"{len(sure)} of {len(pairs)} features moved far from the last release's rows{told}"
    needed = _needed(spec.psi, len(next(iter(before.values())))) if verdict is Verdict.INCONCLUSIVE else None
    return [Measure(gate, verdict, words, "", low, spec.share, (low, high), needed)]


def _needed(psi: float, before: int) -> int:
    """Return the rows with which chance alone gives half of `psi`: over B bins it gives (B - 1)(1/n + 1/m).

    Yurdakul (2018), *Statistical properties of the population stability index*.
    """
    left = psi / 2 / BINS - 1 / before
    return int(np.ceil(1 / left)) if left > 0 else before
