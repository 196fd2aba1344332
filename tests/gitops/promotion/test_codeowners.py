import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.promotion.codeowners import owners_of

PATH = "gitops/environments/production/flights.yaml"


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*", PATH, True),
        ("/gitops/", PATH, True),
        ("gitops/", PATH, True),
        ("/gitops", PATH, True),
        ("environments/", PATH, True),
        ("/environments/", PATH, False),
        ("/gitops/environments/production/**", PATH, True),
        ("/gitops/environments/production/", PATH, True),
        ("/gitops/environments/prod/", PATH, False),
        ("/gitops/environments/*/flights.yaml", PATH, True),
        ("/gitops/*/flights.yaml", PATH, False),
        ("/gitops/**/flights.yaml", PATH, True),
        ("**/flights.yaml", PATH, True),
        ("*.yaml", PATH, True),
        ("*.yml", PATH, False),
        ("flights.yaml", PATH, True),
        ("lights.yaml", PATH, False),
        ("gitops/*", PATH, False),
        ("gitops/*", "gitops/policy.yaml", True),
        ("/gitops/policy.yam?", "gitops/policy.yaml", True),
        ("/docs/a\\ b.md", "docs/a b.md", True),
        ("/gitops/", "xgitops/a", False),
        ("/a.b", "aXb", False),
    ],
)
def test_patterns_match_as_on_github(pattern: str, path: str, *, matches: bool) -> None:
    """Roots, depths, folders and wildcards."""
    assert (owners_of(f"{pattern} a@example.org\n", path) == ("a@example.org",)) is matches


def test_the_last_line_that_matches_wins() -> None:
    """Earlier owners are replaced, not added to; a line without owners takes ownership away."""
    text = "* a@x.org\n/gitops/ @Grace b@x.org # the team\n"
    assert owners_of(text, PATH) == ("@grace", "b@x.org")
    assert owners_of(text, "src/a.py") == ("a@x.org",)
    assert owners_of(f"{text}/gitops/environments/\n", PATH) == ()


def test_comments_blank_lines_and_non_owners_count_for_nothing() -> None:
    """A word that is neither an address nor a handle is dropped, and locks rather than opens."""
    assert owners_of("# * a@x.org\n\n   \n", PATH) == ()
    assert owners_of("* a@x.org\n/gitops/ grace\n", PATH) == ()
    assert owners_of("* @org/team-a\n", PATH) == ("@org/team-a",)


@given(st.text(), st.text(min_size=1))
def test_no_text_breaks_the_parser(text: str, path: str) -> None:
    """Whatever the file holds, the answer is a tuple of owners."""
    assert all("@" in owner for owner in owners_of(text, path))
