"""Every rule by which review can refuse is drilled, or it is said here why it is not."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from towpath_ci.drills import DRILLS
from towpath_flows.data.rules import RULES
from towpath_gitops import promotion
from towpath_gitops.records.deployment import PROMOTABLE
from towpath_gitops.records.evidence import Kind

# A drill of these names the kind of evidence that is red instead of the rule.
BY_KIND: Final = "evidence_verdict"
# Rule → why no drill injects it.
NOT_DRILLED: Final = {
    "declared": "it does no harm: nothing would change",
    "champion_lane": "cannot be proposed: the edit itself refuses",
    "upstream_serving": "asked of the same history as the soak, which is drilled",
}
_MAKERS: Final = ("missing", "UnfitError")  # whose first argument is the rule


def rules() -> set[str]:
    """Return the names of all rules in the code of promotion, but those of requirements that are met."""
    found: set[str] = set()
    for path in Path(promotion.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found |= set(_named(node))
    return found


def _named(call: ast.Call) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    places = [keyword.value for keyword in call.keywords if keyword.arg == "rule"]
    places += call.args[:1] if name in _MAKERS else []
    for place in places:
        if isinstance(place, ast.Constant) and isinstance(place.value, str):
            yield place.value
        elif isinstance(place, ast.Name) and place.id == "block":  # one rule for each block that a change may write
            yield from set(PROMOTABLE) - {"change"}


def test_every_rule_of_review_is_drilled_or_excused() -> None:
    """A rule that somebody adds needs a drill, or a reason; one that is gone needs neither."""
    drilled = {drill.gate for drill in DRILLS}
    drilled |= {BY_KIND} if drilled & set(Kind) else set()
    assert rules() - drilled - set(NOT_DRILLED) == set()
    assert set(NOT_DRILLED) <= rules() - drilled


def test_every_rule_of_quality_is_drilled() -> None:
    """A rule about data has rows that it must refuse."""
    assert set(RULES) - {drill.gate for drill in DRILLS} == set()


def test_the_rules_are_found() -> None:
    """The search sees each way in which code names a rule."""
    assert {"approvals", "one_open", "soak", "freeze", "scope", "state", "hold", "release", "signing"} <= rules()
