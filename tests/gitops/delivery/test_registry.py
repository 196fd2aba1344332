"""The real MLflow in a SQLite file."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops.delivery.registry import RELEASE_TAG, Registry
from towpath_gitops.errors import DigestMismatchError, InvalidFileError, NotFoundError, UnavailableError
from towpath_gitops.records.artifact import manifest_digest
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict
from towpath_gitops.records.release import Release

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish


def _stored(registry: Registry, release: Release) -> Path:
    """Return the folder in which MLflow keeps a release's artifact."""
    version = registry.client.get_model_version(release.model, str(release.version))
    return Path(version.source.removeprefix("file://"))


def test_releases_come_newest_first_without_half_registered_ones(
    registry: Registry, model_name: str, publish: "Publish", tmp_path: Path
) -> None:
    """A version without the last tag, with a broken one, or with another version's does not count."""
    first, untagged, second, broken, stolen = publish(), publish(tag=False), publish(), publish(), publish()
    registry.client.set_model_version_tag(model_name, str(broken.version), RELEASE_TAG, "{")
    text = first.model_dump_json(by_alias=True)
    registry.client.set_model_version_tag(model_name, str(stolen.version), RELEASE_TAG, text)
    assert registry.releases(model_name) == [second, first]
    with pytest.raises(NotFoundError):
        registry.fetch(untagged, tmp_path)


def test_a_release_is_found_by_every_name(registry: Registry, model_name: str, publish: "Publish") -> None:
    """Version, semantic version, id, a unique beginning of it, and `latest`."""
    first, second = publish(), publish()
    hexadecimal = first.id.removeprefix("sha256:")
    for selector in ("1", "1.1.0", first.id, hexadecimal, first.short_id, hexadecimal[:20]):
        assert registry.find(model_name, selector) == first
    assert registry.find(model_name, "latest") == second


@pytest.mark.parametrize("selector", ["9", "1.9.0", "abc", "ffff0000ffff", "champion", "' OR 1=1", ""])
def test_what_cannot_be_found_is_answered_with_what_can(
    registry: Registry, model_name: str, publish: "Publish", selector: str
) -> None:
    """The message lists the releases."""
    release = publish()
    with pytest.raises(NotFoundError, match=rf"No release[\s\S]*{release.semver}"):
        registry.find(model_name, selector)


@pytest.mark.parametrize("model", ["unheard-of", "x' OR name='y", ""])
def test_an_unknown_model_has_no_releases(registry: Registry, model: str) -> None:
    """Nothing is found, and nothing is injected into MLflow's query."""
    assert registry.releases(model) == []
    assert registry.aliases(model or "none") == {}
    with pytest.raises(NotFoundError, match="towpath train"):
        registry.find(model, "latest")


def test_fetch_brings_the_bytes_to_their_digest(registry: Registry, publish: "Publish", tmp_path: Path) -> None:
    """The folder is named by what it holds; a second time the registry is not asked."""
    release = publish()
    folder = registry.fetch(release, tmp_path)
    assert folder == tmp_path / release.artifact.removeprefix("sha256:")
    assert manifest_digest(folder) == release.artifact
    assert Registry("http://127.0.0.1:9").fetch(release, tmp_path) == folder
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize("damage", ["change", "add", "remove", "link", "everything"])
def test_a_damaged_copy_is_fetched_anew(registry: Registry, publish: "Publish", tmp_path: Path, damage: str) -> None:
    """Whatever happened to the store, what is returned is what was approved."""
    release = publish()
    folder = registry.fetch(release, tmp_path)
    _damage(folder, damage)
    assert manifest_digest(registry.fetch(release, tmp_path)) == release.artifact
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def _damage(folder: Path, damage: str) -> None:
    file = folder / "model.json"
    if damage == "change":
        file.write_bytes(file.read_bytes() + b" ")
    elif damage == "add":
        (folder / "more.pkl").write_bytes(b"cos\nsystem\n")
    elif damage == "link":
        file.rename(folder.parent / "elsewhere")
        file.symlink_to(folder.parent / "elsewhere")
        (folder.parent / "elsewhere").unlink()
    else:
        for path in list(folder.iterdir()) if damage == "everything" else [file]:
            path.unlink()


@pytest.mark.parametrize("damage", ["change", "add", "remove"])
def test_a_registry_that_was_tampered_with_is_refused(
    registry: Registry, publish: "Publish", tmp_path: Path, damage: str
) -> None:
    """One byte, one file more, one less: refused, and nothing stays in the store."""
    release = publish()
    _damage(_stored(registry, release), damage)
    with pytest.raises(DigestMismatchError, match="not the one that was approved"):
        registry.fetch(release, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_may_fetch_at_once(registry: Registry, publish: "Publish", tmp_path: Path) -> None:
    """All get the same whole folder."""
    release = publish()
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(registry.fetch(release, tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert {manifest_digest(folder) for folder in found} == {release.artifact}
    assert len(list(tmp_path.iterdir())) == 1


def _evidence(release: Release, about: str, verdict: Verdict = Verdict.PASS) -> Evidence:
    return Evidence(
        kind=Kind.EVALUATION,
        model=release.model,
        release=about,
        gates=digest_of("gates"),
        created=datetime.now(UTC),
        findings=(Finding(gate="roc_auc", verdict=verdict, message="0.7"),),
    )


def test_evidence_is_kept_by_kind_and_the_later_counts(registry: Registry, publish: "Publish") -> None:
    """What is published comes back equal; a release without evidence has none."""
    release = publish()
    assert registry.evidence(release) == {}
    for verdict in (Verdict.FAIL, Verdict.PASS):
        evidence = _evidence(release, release.id, verdict)
        registry.publish_evidence(release, evidence)
        assert registry.evidence(release) == {Kind.EVALUATION: evidence}


@pytest.mark.parametrize("name", ["evaluation", "evaluation.txt", "evaluation.json.bak", "evaluation.JSON", "x.json"])
def test_what_is_not_called_as_evidence_is_none(registry: Registry, publish: "Publish", name: str) -> None:
    """A file beside it, whatever it says, counts for nothing and hurts nobody."""
    release = publish()
    run = registry.client.get_model_version(release.model, str(release.version)).run_id
    for text in ("not even JSON", _evidence(release, release.id).model_dump_json(by_alias=True)):
        registry.client.log_text(run, text, f"evidence/{name}")
        assert registry.evidence(release) == {}


def test_evidence_about_another_release_is_refused(registry: Registry, publish: "Publish") -> None:
    """Neither written nor read: a green sheet of paper cannot be borrowed."""
    one, other = publish(), publish()
    with pytest.raises(InvalidFileError, match="another release"):
        registry.publish_evidence(one, _evidence(one, other.id))
    run = registry.client.get_model_version(one.model, str(one.version)).run_id
    registry.client.log_text(run, _evidence(one, other.id).model_dump_json(by_alias=True), "evidence/evaluation.json")
    with pytest.raises(InvalidFileError, match="another release"):
        registry.evidence(one)


def test_aliases_follow(registry: Registry, model_name: str, publish: "Publish") -> None:
    """An alias names one version at a time."""
    one, two = publish(), publish()
    for release in (one, two):
        registry.set_alias(release, "staging")
    registry.set_alias(one, "champion")
    assert registry.aliases(model_name) == {"staging": two.version, "champion": one.version}


@pytest.mark.parametrize(
    "uri",
    ["file:///etc", "/etc/passwd", "", "databricks", "ftp://host", "http://169.254.169.254/", "http://[fe80::1]/"],
)
def test_addresses_that_are_no_registry_are_refused(uri: str) -> None:
    """Before anything is contacted."""
    with pytest.raises(InvalidFileError):
        Registry(uri)


@pytest.mark.parametrize("uri", ["http://mona:hunter2@127.0.0.1:9", "sqlite:////proc/none/mlflow.db"])
def test_a_registry_that_does_not_answer_is_unavailable(uri: str) -> None:
    """It says which, without the password, and may be tried again."""
    with pytest.raises(UnavailableError) as caught:
        Registry(uri).releases("flights")
    assert "hunter2" not in str(caught.value)
