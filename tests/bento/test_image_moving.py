"""Images in files and in registries: real ones where skopeo and docker-registry are installed."""

import gzip
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tarfile import TarFile, TarInfo
from typing import Any

import pytest
from pydantic import ValidationError

from towpath_bento.image.build import LAYOUT, RECORD, Built, read_built
from towpath_bento.image.moving import push, require_true, sync, tag_of
from towpath_bento.image.oci import ARTIFACT_LABEL, BILL_LABEL, RELEASE_LABEL, read_layout
from towpath_bento.image.shelf import digest_of_tag, look, repository_in
from towpath_bento.image.tools import BUILDERS, builder, run
from towpath_gitops.errors import (
    DeliveryError,
    DigestMismatchError,
    InvalidFileError,
    MissingDependencyError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.image import BuiltImage, ImageRecord, carries
from towpath_gitops.records.release import Release

TOOLS = ("skopeo", "docker-registry")


def layout(folder: Path, release: Release, *, content: bytes = b"a model", user: str = "10001:10001") -> Built:
    """Write an image of one small layer as an OCI layout, and the record of it beside, as the build does."""
    blobs = folder / LAYOUT / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        digest = digest_bytes(data)
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": len(data)}

    archive = BytesIO()
    with TarFile(fileobj=archive, mode="w") as tar:
        entry = TarInfo("model")
        entry.size = len(content)
        tar.addfile(entry, BytesIO(content))
    labels = {RELEASE_LABEL: release.id, ARTIFACT_LABEL: release.artifact, BILL_LABEL: digest_bytes(b"a bill")}
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": user, "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [digest_bytes(archive.getvalue())]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
        "layers": [blob(gzip.compress(archive.getvalue(), mtime=0), "layer.v1.tar+gzip")],
    }
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
    (folder / LAYOUT / "index.json").write_text(json.dumps(index))
    (folder / LAYOUT / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    found = read_layout(folder / LAYOUT)
    record = BuiltImage(
        release=release.id,
        artifact=release.artifact,
        digest=found.digest,
        base="registry.example.org/base@" + digest_bytes(b"base"),
        sbom=labels[BILL_LABEL],
        packages=70,
        size_bytes=found.size_bytes,
        user="10001:10001",
        tool="a test",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (folder / RECORD).write_text(record.model_dump_json(by_alias=True))
    return Built(folder, record, found)


def recorded(built: Built) -> ImageRecord:
    """Return the record of an image as if it had been pushed."""
    return ImageRecord(**built.record.model_dump(), image=f"127.0.0.1:1/tiny@{built.record.digest}")


@pytest.fixture
def release(tiny: Callable[..., Any]) -> Release:
    """A release to put into images."""
    made: Release = tiny().release
    return made


@pytest.fixture
def built(tmp_path: Path, release: Release) -> Built:
    """An image of it."""
    return layout(tmp_path / "image", release)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Start registries on loopback; give the address of each."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (apt-get install {' '.join(missing)})")
    running: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        folder = tmp_path / f"registry-{len(running)}"
        folder.mkdir()
        storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
        config = {"version": 0.1, "storage": storage, "http": {"addr": address}, "log": {"level": "error"}}
        (folder / "config.yml").write_text(json.dumps(config))
        with (folder / "log").open("wb") as log:
            command = ["docker-registry", "serve", str(folder / "config.yml")]
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((address.split(":", maxsplit=1)[0], int(address.split(":")[1])), 1).close()
            except OSError:
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.05)
            else:
                return address

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


# --- an image as files ------------------------------------------------------------------------------------------------


def test_an_image_is_known_by_the_digest_of_its_manifest(built: Built, release: Release) -> None:
    """What is built says whom it carries and as whom it runs, and is read back as it was."""
    assert built.described.user == "10001:10001"
    assert built.described.labels[RELEASE_LABEL] == release.id
    assert built.record.size_bytes == sum(
        path.stat().st_size for path in (built.folder / LAYOUT / "blobs" / "sha256").iterdir()
    ) - len(json.dumps(built.described.manifest))
    assert read_built(built.folder, release) == built


def test_a_damaged_layer_is_seen(built: Built, release: Release) -> None:
    """One bit of a layer that differs, and the image is not pushed anywhere."""
    layer = built.described.manifest["layers"][0]["digest"].removeprefix("sha256:")
    path = built.folder / LAYOUT / "blobs" / "sha256" / layer
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DigestMismatchError, match="layer"):
        read_built(built.folder, release)


def test_an_image_of_another_release_is_not_this_ones(
    tmp_path: Path, release: Release, tiny: Callable[..., Any], built: Built
) -> None:
    """A folder with another's image, one without an image, and one with half of one are told apart."""
    other = tiny(version=2, bias=1.0).release
    with pytest.raises(DigestMismatchError, match="is not that of"):
        read_built(built.folder, other)
    with pytest.raises(NotFoundError, match="No image"):
        read_built(tmp_path, release)
    (built.folder / LAYOUT / "index.json").write_text('{"manifests": []}')
    with pytest.raises(InvalidFileError, match="OCI layout"):
        read_built(built.folder, release)


def test_what_an_image_says_must_agree_with_its_record(
    built: Built, release: Release, tiny: Callable[..., Any]
) -> None:
    """Another digest, another release, another bill of materials, or root as its user: each is refused."""
    require_true(built.described, release, built.record)
    other = tiny(version=2, bias=1.0).release
    another = built.record.model_copy(update={"digest": digest_bytes(b"another")})
    with pytest.raises(DigestMismatchError, match="not the image on record"):
        require_true(built.described, release, another)
    with pytest.raises(DigestMismatchError, match="not the image on record"):
        require_true(built.described, other, built.record)
    claimed = built.record.model_copy(update={"release": other.id})
    with pytest.raises(DigestMismatchError, match="does not carry"):
        require_true(built.described, other, claimed)
    with pytest.raises(DigestMismatchError, match="does not carry"):
        require_true(built.described, release, built.record.model_copy(update={"sbom": digest_bytes(b"other")}))
    for user in ("", "0", "0:0", "root"):
        config = built.described.config | {"config": built.described.config["config"] | {"User": user}}
        with pytest.raises(RefusedError, match="root"):
            require_true(replace(built.described, config=config), release, built.record)


def test_a_record_is_pinned_by_its_own_digest(built: Built) -> None:
    """A record cannot name an image by another digest; a place elsewhere with the same digest is the same image."""
    record = recorded(built)
    with pytest.raises(ValidationError, match="own digest"):
        ImageRecord(**built.record.model_dump(), image=f"127.0.0.1:1/tiny@{digest_bytes(b'another')}")
    assert carries((record,), f"elsewhere.example.org/tiny@{built.record.digest}") == record
    assert carries((record,), f"127.0.0.1:1/tiny@{digest_bytes(b'another')}") is None


@pytest.mark.parametrize("address", ["https://ghcr.io/acme", "ghcr.io/Acme", "-x", "", "ghcr.io/acme@sha256:1", "a b"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """Nothing that could be an option, a tag or another scheme reaches a program's command line."""
    with pytest.raises(InvalidFileError, match="address of a registry"):
        repository_in(address, "tiny")


def test_without_a_program_the_advice_is_to_install_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: Built, release: Release
) -> None:
    """A machine with no builder, or no skopeo, is told the package; the one that is wanted is never replaced."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError) as caught:
        builder()
    assert "apt-get install buildah" in caught.value.hint
    with pytest.raises(MissingDependencyError, match="podman"):
        builder("podman")
    with pytest.raises(MissingDependencyError, match="skopeo"):
        push(built, release, "127.0.0.1:1")
    with pytest.raises(MissingDependencyError, match="no-such-tool"):
        run(["no-such-tool"], "Trying it")


def test_the_first_builder_on_the_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders without a daemon come first; what a program says when it fails is the reason."""
    for name in BUILDERS[1:]:
        (tmp_path / name).write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin" if not shutil.which("buildah") else str(tmp_path))
    assert builder() == "podman"
    assert builder("docker") == "docker"
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(DeliveryError) as caught:
        run(["podman", "build"], "Building")
    assert caught.value.why == "out of luck"


# --- registries -------------------------------------------------------------------------------------------------------


def test_an_image_keeps_its_digest_from_folder_to_registry_to_registry(
    registry: Callable[[], str], built: Built, release: Release
) -> None:
    """Pushed to one registry and copied to another, the same bytes lie at all three places; again, nothing is done."""
    first, second = registry(), registry()
    moved, record = push(built, release, first)
    assert moved.copied
    assert record.image == f"{first}/tiny@{built.record.digest}"
    assert digest_of_tag(f"{first}/tiny", tag_of(release, record.digest)) == record.digest
    assert not push(built, release, first)[0].copied
    there = sync(record, release, first, second)
    assert (there.copied, there.image) == (True, f"{second}/tiny@{record.digest}")
    assert look(f"{second}/tiny", record.digest) == built.described
    assert not sync(record, release, first, second).copied


def test_a_tag_that_points_elsewhere_is_refused(
    tmp_path: Path, registry: Callable[[], str], built: Built, release: Release
) -> None:
    """Whoever moved a tag may have replaced what was approved: nothing is overwritten, and both digests are named."""
    first, second = registry(), registry()
    _, record = push(built, release, first)
    other = layout(tmp_path / "other", release, content=b"another model")
    tag = tag_of(release, record.digest)
    command = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{other.folder / LAYOUT}"]
    subprocess.run([*command, f"docker://{second}/tiny:{tag}"], check=True)
    with pytest.raises(RefusedError) as caught:
        sync(record, release, first, second)
    assert other.record.digest in caught.value.why
    assert record.digest in caught.value.why
    with pytest.raises(RefusedError):
        push(built, release, second)
    assert digest_of_tag(f"{second}/tiny", tag) == other.record.digest


def test_a_registry_that_lies_about_its_bytes_is_seen(
    tmp_path: Path, registry: Callable[[], str], built: Built, release: Release
) -> None:
    """The manifest is compared with the digest by which it was asked for, whoever serves it."""
    first = registry()
    _, record = push(built, release, first)
    name = record.digest.removeprefix("sha256:")
    (path,) = (tmp_path / "registry-0").rglob(f"{name}/data")
    path.write_bytes(path.read_bytes().replace(b'"schemaVersion": 2', b'"schemaVersion" : 2'))
    with pytest.raises((DigestMismatchError, DeliveryError, NotFoundError)):
        look(f"{first}/tiny", record.digest)


def test_what_is_not_there_is_not_found_and_who_is_away_is_waited_for(
    registry: Callable[[], str], built: Built, release: Release
) -> None:
    """An image that no registry holds is one failure, a registry that does not answer another: only that is retried."""
    first = registry()
    record = recorded(built)
    with pytest.raises(NotFoundError):
        sync(record, release, first, first)
    assert digest_of_tag(f"{first}/tiny", "none") is None
    with pytest.raises(UnavailableError):
        sync(record, release, "127.0.0.1:1", first)
