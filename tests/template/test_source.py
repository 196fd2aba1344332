"""Where a generated repository finds Towpath and its template again."""

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from jinja2.sandbox import SandboxedEnvironment
from jinja2_ansible_filters import AnsibleCoreFiltersExtension

Git = Callable[..., str]


def copier(folder: Path, *arguments: str) -> None:
    """Run Copier's command line in a folder, as a user would."""
    command = [sys.executable, "-m", "copier", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def pin(root: Path) -> str:
    """Return the requirement on Towpath of a generated repository."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"][0])


def test_a_dot_becomes_the_place_it_stood_for(source: Path, tmp_path: Path, git: Git) -> None:
    """After `copier copy . DEST` both the answers and the pin name the absolute source, and the pin its commit."""
    copier(source, "copy", "--defaults", "--quiet", ".", str(tmp_path / "r"))
    kept = yaml.safe_load((tmp_path / "r/.copier-answers.yml").read_text())
    assert (kept["_src_path"], kept["_commit"]) == (str(source), "v1.0.0")
    address, _, revision = pin(tmp_path / "r").partition(" @ git+file://")[2].partition("@")
    assert (unquote(address), revision) == (str(source), git(source, "rev-parse", "v1.0.0"))


def test_the_pin_can_be_fetched(source: Path, tmp_path: Path, git: Git, commit: Callable[[Path], str]) -> None:
    """Git fetches exactly the pinned commit from the pinned address, also when the template has moved on since."""
    copier(source, "copy", "--defaults", "--quiet", ".", str(tmp_path / "r"))
    (source / "later.txt").write_text("not in the render\n")
    commit(source)
    address, _, revision = pin(tmp_path / "r").partition(" @ git+")[2].rpartition("@")
    git(tmp_path, "clone", "--quiet", "--no-checkout", address, "again")
    git(tmp_path / "again", "checkout", "--quiet", revision)
    assert (tmp_path / "again/copier.yml").exists()
    assert not (tmp_path / "again/later.txt").exists()


def test_an_untagged_source_is_pinned_by_its_commit(source: Path, tmp_path: Path, git: Git) -> None:
    """Without a tag the pin is the full commit, and the answers hold what `copier update` needs."""
    git(source, "tag", "--delete", "v1.0.0")
    copier(source, "copy", "--defaults", "--quiet", str(source), str(tmp_path / "r"))
    assert pin(tmp_path / "r").endswith("@" + git(source, "rev-parse", "HEAD"))


def test_the_lock_is_the_very_one_towpath_is_tested_with(source: Path, tmp_path: Path) -> None:
    """requirements.txt of a render equals Towpath's own, hash for hash."""
    copier(source, "copy", "--defaults", "--quiet", ".", str(tmp_path / "r"))
    assert (tmp_path / "r/requirements.txt").read_bytes() == (source / "requirements.txt").read_bytes()


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("gh:acme/towpath", "git+https://github.com/acme/towpath.git@c0ffee"),
        ("gl:acme/towpath.git", "git+https://gitlab.com/acme/towpath.git@c0ffee"),
        ("https://git.example.com/towpath.git", "git+https://git.example.com/towpath.git@c0ffee"),
        ("git+https://git.example.com/towpath", "git+https://git.example.com/towpath@c0ffee"),
        ("git@git.example.com:acme/towpath.git", "git+ssh://git@git.example.com/acme/towpath.git@c0ffee"),
        ("/srv/my towpath", "git+file:///srv/my%20towpath@c0ffee"),
    ],
)
def test_every_spelling_of_a_source_becomes_one_that_pip_knows(source: str, address: str) -> None:
    """Copier's short forms, scp's colon and plain paths are spelled as pip spells a git requirement."""
    questions = yaml.safe_load((Path(__file__).parents[2] / "copier.yml").read_text())
    jinja = SandboxedEnvironment(extensions=[AnsibleCoreFiltersExtension])
    given = {"_copier_answers": {"_src_path": source}, "_copier_conf": {"vcs_ref_hash": "c0ffee"}}
    given["template_source"] = jinja.from_string(questions["template_source"]["default"]).render(given)
    assert jinja.from_string(questions["towpath_pin"]["default"]).render(given) == address
