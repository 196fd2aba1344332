"""A repository's life: rendered, edited by its owner, updated when the template has moved on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from copier import run_copy, run_update

Git = Callable[..., str]
Render = Callable[..., Path]

OWNERS_EDITS = {
    "model.yaml": [("until: 2013-04-01", "until: 2013-06-01"), ("min: 0.60", "min: 0.62")],
    "src/flights/features.py": [("unknown_value=-1", "unknown_value=-2")],
    "gitops/policy.yaml": [("soak: 0s", "soak: 10m")],
    ".github/CODEOWNERS": [("/.github/ reviewer@example.com", "/.github/ lee@example.com")],
}
TEMPLATES_EDITS = {
    "model.yaml.jinja": [("seed: 7}", "seed: 7, patience: 40}")],
    "src/{{ package }}/features.py": [("How columns become features.", "How columns become features, again.")],
    "gitops/policy.yaml.jinja": [("The environments in order", "All environments in order")],
    "Makefile.jinja": [("`make` alone lists", "`make help` lists")],
    "README.md.jinja": [("## First", "## First of all")],
}


def edit(folder: Path, edits: dict[str, list[tuple[str, str]]]) -> None:
    """Replace the first occurrence of each text in each file."""
    for path, changes in edits.items():
        text = (folder / path).read_text()
        for old, new in changes:
            text = text.replace(old, new, 1)
        (folder / path).write_text(text)


@pytest.fixture
def edited(source: Path, render: Render, commit: Callable[[Path], str], git: Git, tmp_path: Path) -> Path:
    """Return a render of v1.0.0 with its owner's edits; the template has a v2.0.0 meanwhile."""
    root = render(tmp_path / "r", {"port": 4000})
    commit(root)
    edit(root, OWNERS_EDITS)
    (root / "notes.md").write_text("Mine.\n")
    commit(root)
    edit(source / "template", TEMPLATES_EDITS)
    (source / "template/guide.md.jinja").write_text("About {{ model }}: new in two.\n")
    (source / "template/tests/test_features.py.jinja").unlink()
    commit(source)
    git(source, "tag", "v2.0.0")
    return root


def tracked(root: Path, git: Git) -> dict[str, str]:
    """Return path and text of every file that git would commit."""
    paths = git(root, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return {path: (root / path).read_text() for path in paths if (root / path).exists()}


def test_an_update_keeps_the_owners_edits_and_else_equals_a_fresh_render(
    edited: Path, source: Path, git: Git, commit: Callable[[Path], str], tmp_path: Path
) -> None:
    """Nothing conflicts, every edit of the owner lives, and all other files are those of a new repository."""
    run_update(edited, defaults=True, overwrite=True, quiet=True, unsafe=False)
    run_copy(str(source), tmp_path / "fresh", data={"port": 4000}, defaults=True, quiet=True, unsafe=False)
    commit(tmp_path / "fresh")
    updated, fresh = tracked(edited, git), tracked(tmp_path / "fresh", git)
    assert not [
        path for path, text in updated.items() if path.endswith(".rej") or "<<<<<<<" in text or ">>>>>>>" in text
    ]
    assert updated.pop("notes.md") == "Mine.\n"
    for path, changes in OWNERS_EDITS.items():
        assert all(new in updated[path] for _, new in changes), path
        for old, new in changes:
            updated[path] = updated[path].replace(new, old, 1)
    assert updated == fresh
    assert "_commit: v2.0.0" in fresh[".copier-answers.yml"]


def test_an_update_to_the_same_version_changes_nothing(
    source: Path, render: Render, commit: Callable[[Path], str], git: Git, tmp_path: Path
) -> None:
    """Updating a repository whose template has not moved leaves git clean."""
    root = render(tmp_path / "r")
    commit(root)
    run_update(root, defaults=True, overwrite=True, quiet=True, unsafe=False)
    assert git(root, "status", "--porcelain") == ""
    assert source.exists()
