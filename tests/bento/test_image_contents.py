"""What goes into an image: requirements with hashes, wheels, and a bill of materials that is checked."""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from towpath_bento.image.bill import BILL, bill_of_materials
from towpath_bento.image.builders import CONTAINERFILE
from towpath_bento.image.installed import differences, installed_here
from towpath_bento.image.locked import Locked, hashes_in, locked
from towpath_bento.image.wheels import exact, fetch
from towpath_bento.pins import requirements
from towpath_gitops.errors import DeliveryError
from towpath_gitops.records.base import digest_file

LOCK = Path(__file__).parents[2] / "requirements.txt"
SERVING = ("bentoml", "msgspec", "numpy", "onnxruntime", "prometheus-client", "pydantic", "ruamel.yaml")


def test_every_library_that_serves_is_locked_by_hash() -> None:
    """Of what a service needs, the repository's own lock file knows the hashes of every version that was tested."""
    pins = requirements(SERVING)
    found = locked(pins, LOCK)
    assert tuple(found.hashes) == pins
    assert found.unvouched == ()
    assert found.text() == found.vouched()
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digests in found.hashes.values() for digest in digests)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Pip's own parser finds every pin and hash again; what nobody vouches for stands last, and is said to be so."""
    given = Locked({"a-b==1.0": ("sha256:" + "1" * 64, "sha256:" + "2" * 64), "c==2": ()})
    path = tmp_path / "requirements.txt"
    path.write_text(given.text())
    assert hashes_in(path) == given.hashes
    assert given.text().endswith("# No lock file knows a hash of these 1:\nc==2\n")
    assert "c==2" not in given.vouched()


def test_a_hash_counts_for_its_own_version_only(tmp_path: Path) -> None:
    """Another version, or a weaker algorithm, vouches for nothing."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"A_b==1.0 --hash=sha256:{'1' * 64}\nc==2 --hash=md5:{'3' * 32}\n")
    found = locked(["a-b==1.0", "a-b==1.1", "c==2"], lock)
    assert found.hashes["a-b==1.0"] == ("sha256:" + "1" * 64,)
    assert found.unvouched == ("a-b==1.1", "c==2")
    assert locked(["c==2"], None).unvouched == ("c==2",)


def test_the_bill_is_valid_and_says_all_of_each_library(tiny: Callable[..., Any]) -> None:
    """CycloneDX 1.6 to the letter; version, purl and licence of each, the wheel's digest where it is known."""
    release = tiny().release
    pins = requirements(SERVING)
    text = bill_of_materials(release, pins, {pins[0]: "a" * 64}, base="registry/base@sha256:1")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None
    bill = json.loads(text)
    listed = {item["bom-ref"]: item for item in bill["components"]}
    for pin in pins:
        name, _, version = pin.partition("==")
        item = listed[f"pkg:pypi/{name}@{version}"]
        assert item["purl"] == item["bom-ref"]
        assert item["licenses"], f"{name} declares no licence"
    assert listed[f"pkg:pypi/{pins[0].replace('==', '@')}"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    model = listed[f"model:{release.id}"]
    assert model["hashes"][0]["content"] == release.artifact.removeprefix("sha256:")
    assert model["type"] == "machine-learning-model"


def test_the_bill_is_the_same_whoever_else_reads_metadata(tiny: Callable[..., Any]) -> None:
    """MLflow brings a finder of distributions with stricter fields; with it loaded, the bill has the same bytes."""
    release, pins = tiny().release, requirements(["httpx"])
    before = bill_of_materials(release, pins)
    import importlib_metadata  # noqa: F401, PLC0415 (its finder is what is tried)

    assert bill_of_materials(release, pins) == before


def test_the_bill_says_what_needs_what(tiny: Callable[..., Any]) -> None:
    """Each library names those it needs, as its own metadata does."""
    bill = json.loads(bill_of_materials(tiny().release, requirements(["httpx"])))
    edges = {edge["ref"].split("@")[0]: edge.get("dependsOn", ()) for edge in bill["dependencies"]}
    below = {ref.split("@")[0].removeprefix("pkg:pypi/") for ref in edges["pkg:pypi/httpx"]}
    assert below == {"anyio", "certifi", "httpcore", "idna"}


def test_the_same_release_has_the_same_bill(tiny: Callable[..., Any]) -> None:
    """Nothing in it depends on when or where it was written; another base is another bill."""
    release = tiny().release
    pins = requirements(["httpx"])
    first = bill_of_materials(release, pins, base="a")
    assert first == bill_of_materials(release, reversed(pins), base="a")
    assert first != bill_of_materials(release, pins, base="b")


def test_a_bill_that_is_not_true_is_told(tmp_path: Path, tiny: Callable[..., Any]) -> None:
    """The check, run as it is inside an image, names what is missing, what is too much and what has another version."""
    everything = [f"{name}=={version}" for name, version in installed_here().items() if name != "towpath"]
    path = tmp_path / BILL
    path.write_bytes(bill_of_materials(tiny().release, everything))
    bill = json.loads(path.read_bytes())
    assert list(differences(bill, {pin.partition("==")[0]: pin.partition("==")[2] for pin in everything})) == []
    done = _checked(path)
    assert done.returncode == 1
    said = f"towpath {metadata.version('towpath')} is installed, but not listed"  # in an image its code is only copied
    assert done.stderr.strip().splitlines()[1:] == [f"  {said}"]
    assert set(differences(bill, {"numpy": "0.1", "smuggled": "1"})) >= {
        "smuggled 1 is installed, but not listed",
        f"numpy is listed as {metadata.version('numpy')}, but installed as 0.1",
        f"httpx {metadata.version('httpx')} is listed, but not installed",
    }


def _checked(bill: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "towpath_bento.image.installed", str(bill)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels in place of an index, with the wheel of `knot` 1.0 in it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    with zipfile.ZipFile(folder / "knot-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("knot.py", "")
        wheel.writestr("knot-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: knot\nVersion: 1.0\n")
        wheel.writestr("knot-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("knot-1.0.dist-info/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return folder


def test_wheels_are_fetched_with_the_hashes_that_are_vouched_for(tmp_path: Path, shelf: Path) -> None:
    """The wheel with the right hash comes; with another it does not, and what nobody knows is pinned as it was seen."""
    digest = digest_file(shelf / "knot-1.0-py3-none-any.whl")
    assert fetch(Locked({"knot==1.0": (digest,)}), tmp_path / "one") == {"knot==1.0": digest}
    unknown = fetch(Locked({"knot==1.0": ()}), tmp_path / "two")
    assert exact(unknown).text() == f"knot==1.0 \\\n    --hash={digest}\n"
    with pytest.raises(DeliveryError) as caught:
        fetch(Locked({"knot==1.0": ("sha256:" + "0" * 64,)}), tmp_path / "three")
    assert "DO NOT MATCH THE HASHES" in caught.value.why


@pytest.mark.usefixtures("shelf")
def test_a_wheel_that_is_not_to_be_had_is_told(tmp_path: Path) -> None:
    """Pip's own words are the reason."""
    with pytest.raises(DeliveryError) as caught:
        fetch(Locked({"rope==1.0": ()}), tmp_path / "none")
    assert "rope==1.0" in caught.value.why


def test_the_containerfile_runs_nobody_as_root_and_puts_no_shell_between() -> None:
    """A numeric user, the exec form, no cache of pip, nothing fetched, and no health check that would need a shell."""
    text = CONTAINERFILE.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    last = lines[len(lines) - lines[::-1].index("FROM ${BASE}") :]
    assert "USER 10001:10001" in last
    (entry,) = (line.removeprefix("ENTRYPOINT ") for line in last if line.startswith("ENTRYPOINT"))
    assert json.loads(entry)[1:3] == ["-m", "towpath_bento"]
    assert not [line for line in lines if "HEALTHCHECK" in line or "http" in line.lower() or "apt-get" in line]
    assert {"--no-index", "--require-hashes", "--no-cache-dir", "--no-deps"} <= set(text.split())
