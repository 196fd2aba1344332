"""Pages for people: whatever the words, nothing is marked up, and the page needs nothing else."""

import re
from datetime import UTC, datetime

import pytest

from towpath_gitops.promotion import dossier
from towpath_gitops.promotion.dossier import Past
from towpath_gitops.promotion.pages import Section, extended, extended_markdown, markdown, page
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict
from towpath_gitops.records.release import Release

NASTY = "a|b <script>alert('x')</script>\n# c"
SECTIONS = [
    Section("One", (NASTY,), ("name", "value"), ((NASTY, "1,234.5"), ("✗ fail", "0.1 to 0.2")), facts={NASTY: NASTY}),
    Section("Two", images={"a 'picture'": "data:image/svg+xml;base64,AAAA"}),
]


def test_words_stay_words() -> None:
    """Values of data add neither markup nor cells, in both forms."""
    for text in (page(NASTY, SECTIONS), markdown(NASTY, SECTIONS)):
        assert "<script" not in text
    assert "\n# c" not in markdown("t", SECTIONS)
    assert "alt='a &#x27;picture&#x27;'" in page("t", SECTIONS)


def test_numbers_stand_to_the_right_and_verdicts_are_told_by_sign_and_colour() -> None:
    """Columns of numbers and of intervals are aligned; a verdict has a sign beside its colour."""
    text = page("t", SECTIONS)
    assert "<td class=n>0.1 to 0.2</td>" in text
    assert "<td class='s gap'>✗ fail</td>" in text


@pytest.mark.parametrize("title", ["One", "Two"])
def test_every_section_can_be_reached(title: str) -> None:
    """The links at the top lead to headings that are there."""
    text = page("t", SECTIONS)
    (anchor,) = re.findall(rf"<a href='#(s\d+)'>{title}</a>", text)
    assert f"<h2 id='{anchor}'>{title}</h2>" in text


def test_a_page_can_be_carried_on() -> None:
    """More sections come at the end, with links of their own; what was there stays as it was."""
    more = [Section("Three", ("words",))]
    longer = extended(page("t", SECTIONS), more)
    assert longer.index("Two</h2>") < longer.index("Three</h2>") < longer.index("</body>")
    assert "'>Three</a></nav>" in longer
    assert extended_markdown(markdown("t", SECTIONS), more).endswith("## Three\n\nwords\n")


def _evidence(kind: Kind, *findings: Finding) -> Evidence:
    return Evidence(
        kind=kind,
        model="canal",
        release=digest_bytes(b"r"),
        gates=digest_bytes(b"g"),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        findings=findings,
    )


def test_the_worst_verdict_is_said_first() -> None:
    """One red check makes the whole page say that nothing can be promoted, and where to look."""
    good = Finding(gate="roc_auc ≥ 0.7", verdict=Verdict.PASS, message="fine")
    bad = Finding(gate="behaviour range", verdict=Verdict.FAIL, message="not fine")
    (section,) = dossier.gates([_evidence(Kind.EVALUATION, good), _evidence(Kind.BEHAVIOUR, good, bad)])
    assert "cannot be promoted" in section.words[0]
    assert section.rows[-1] == ("✗ fail", "behaviour", "check behaviour", "1 of 2 behaviour checks pass; see Behaviour")
    assert not list(dossier.gates([]))


def test_history_shows_what_is_known_of_every_release() -> None:
    """A release from before a metric was measured has an empty cell, and the one that is told of is marked."""
    releases = [
        Release(
            model="canal",
            version=version,
            semver=f"1.0.{version}",
            artifact=digest_bytes(b"a"),
            input_schema=digest_bytes(b"s"),
            data=digest_bytes(b"d"),
            code="4be1c0d" + "0" * 33,
        )
        for version in (2, 1)
    ]
    past = [Past(releases[0], {"test_f1": 0.5, "test_f1_low": 0.4, "cpu_seconds": 3}), Past(releases[1], {})]
    (section,) = dossier.history(past, releases[0].id)
    assert section.heads[-1] == "f1"
    assert [row[0] for row in section.rows] == ["1.0.2 (this)", "1.0.1"]
    assert [row[-1] for row in section.rows] == ["0.5000", ""]


def test_cost_is_told_only_where_it_was_measured() -> None:
    """A release from before has no such section."""
    assert not list(dossier.cost({}))
    (section,) = dossier.cost({"cpu_seconds": 12.25, "peak_memory_bytes": 3e9})
    assert section.facts == {"CPU time": "12.2 CPU seconds", "memory at its peak": "3.0 GB"}
