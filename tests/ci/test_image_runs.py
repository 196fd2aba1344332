"""An image from the base up, by real tools: built, pushed, copied, run by digest as nobody, and stopped under load."""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from towpath_ci.drills.stage import Stage
from towpath_ci.main import app
from towpath_gitops import layout
from towpath_gitops.errors import DeliveryError, NotFoundError
from towpath_gitops.records.artifact import GOLDEN
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.golden import Golden
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.load import LoadFigures

pytestmark = [pytest.mark.long, pytest.mark.timeout(3000)]

PACKAGES = ("buildah", "podman", "runc", "skopeo", "docker-registry", "debootstrap")
BASE = "localhost/towpath-test-base"
PYTHONS = {"bookworm": (3, 11), "trixie": (3, 13)}  # that each suite of Debian brings
# What a nested machine needs; no right is given back by it.
SETTINGS = """
[engine]
runtime = "runc"
[containers]
default_ulimits = ["nofile=4096:8192", "nproc=4096:8192"]
"""
RUN = ("podman", "run", "--detach", "--network", "host", "--pull", "never")
NOBODY = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges")
START_S, STOP_S = 120, 10
NATIVE = "localhost/towpath-test-native:1"
MANY = """from towpath_bento.settings import ManyRows

service = model_server(name="canal", many=ManyRows(threads=1, native=True))"""
# Run inside: how XGBoost's answers to many rows differ from those of the graph.
APART = """
from pathlib import Path
from towpath_bento.crossover.measuring import difference
from towpath_bento.crossover.probes import probes
from towpath_bento.engines import native
from towpath_bento.lane import golden_rows, open_lane

lane = open_lane(Path("model"), release="r", artifact="a")
engine = native.open_engine(lane.folder, lane.codec.signature)
print(difference(lane.engine.few, engine, probes(lane.codec.signature, golden_rows(lane), 4096)))
"""
TRAINING = ("xgboost", "lightgbm", "sklearn", "pandas", "mlflow", "prefect", "optuna", "onnx", "scipy", "pip")


def unavailable(why: str) -> None:
    """Skip on a developer's machine; fail where continuous integration should have installed it."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def sh(*command: str) -> str:
    """Run a program to its end; return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(kept: Callable[[str], Path]) -> str:
    """Return the name of an image with Debian's own Python, made by debootstrap from the machine's package source."""
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if missing:
        unavailable(f"not installed: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        unavailable("debootstrap needs root")
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    if PYTHONS.get(suite) != sys.version_info[:2]:
        unavailable(f"Debian {suite} does not bring Python {sys.version_info.major}.{sys.version_info.minor}")
    archive = kept("image-base") / f"{suite}.tar"
    if not archive.exists():
        _bootstrap(suite, archive)
    sh("podman", "import", "--quiet", str(archive), f"{BASE}:{suite}")
    return f"{BASE}:{suite}"


def _bootstrap(suite: str, archive: Path) -> None:
    """Make a small Debian with Python, without what an image has no use for."""
    root = archive.with_suffix(".root")
    command = ["debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", suite, str(root)]
    for attempt in range(3):  # a mirror may lose a file; what has come already is kept
        done = subprocess.run([*command, _source()], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
        assert attempt < 2, done.stdout[-2000:]
    for name in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log"):
        shutil.rmtree(root / name, ignore_errors=True)
    with tarfile.open(archive.with_suffix(".part"), "w") as tar:
        tar.add(root, arcname=".")
    archive.with_suffix(".part").replace(archive)
    shutil.rmtree(root)


def _source() -> str:
    """Return the address of this machine's first package source."""
    text = "\n".join(path.read_text() for path in sorted(Path("/etc/apt").rglob("*.[ls]*")) if path.is_file())
    found = re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(\S+debian/?)(?:\s|$)", text, re.MULTILINE)
    assert found, "no package source of Debian in /etc/apt"
    return found[1]


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Run two registries on loopback."""
    running, addresses = [], []
    for number in range(2):
        folder = tmp_path_factory.mktemp(f"registry-{number}")
        address = f"127.0.0.1:{_free_port()}"
        storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
        config = {"version": 0.1, "storage": storage, "http": {"addr": address}, "log": {"level": "error"}}
        (folder / "config.yml").write_text(json.dumps(config))
        with (folder / "log").open("wb") as log:
            command = ["docker-registry", "serve", str(folder / "config.yml")]
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        addresses.append(address)
    for address in addresses:
        _wait(partial(_answers, f"http://{address}/v2/"))
    yield addresses[0], addresses[1]
    for process in running:
        process.terminate()
        process.wait(STOP_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    return httpx.get(address, trust_env=False).status_code == 200


def _wait(answers: Callable[[], bool], within_s: float = START_S, log: Callable[[], str] = str) -> None:
    end = time.monotonic() + within_s
    while True:
        try:
            if answers():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, log()
        time.sleep(0.1)


def towpath(*arguments: str) -> None:
    """Run a verb in this process, as a user does."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    assert not ended.value.code, arguments


@dataclass(frozen=True)
class Synced:
    """The good release of the stage, with its image in the second registry."""

    stage: Stage
    record: ImageRecord
    image: str


@pytest.fixture(scope="module")
def synced(stage: Stage, base: str, registries: tuple[str, str]) -> Iterator[Synced]:
    """Build the image of a trained release, push it to one registry, copy it to the other, pull it from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(stage.root)
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        (stage.root.parent / "containers.conf").write_text(SETTINGS)
        patch.setenv("CONTAINERS_CONF", str(stage.root.parent / "containers.conf"))
        first, second = registries
        towpath("image", "build", "1.0.0", "--base", base, "--builder", "buildah")
        towpath("image", "push", "1.0.0", "--to", f"{first}/team")
        towpath("image", "sync", "1.0.0", "--from", f"{first}/team", "--to", f"{second}/mirror")
        towpath("image", "verify", "1.0.0", "--at", f"{second}/mirror")
        (record,) = stage.registry.images(stage.good)
        image = f"{second}/mirror/canal@{record.digest}"
        sh("podman", "pull", "--quiet", "--tls-verify=false", image)
        yield Synced(stage, record, image)
        sh("podman", "rmi", "--force", image)


@dataclass(frozen=True)
class Container:
    """A container that serves on loopback."""

    name: str
    port: int

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        """What it logged."""
        done = subprocess.run(["podman", "logs", self.name], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def within(self, *command: str) -> str:
        """Run a program inside."""
        return sh("podman", "exec", self.name, *command)


@contextmanager
def running(image: str) -> Iterator[Container]:
    """Run an image: a user with a number, a read-only file system, no capability."""
    port = _free_port()
    name = sh(*RUN, *NOBODY, image, "--host", "127.0.0.1", "--port", str(port))
    found = Container(name, port)
    try:
        ready = lambda: httpx.get(f"{found.address}/readyz", trust_env=False).status_code == 200  # noqa: E731 (one use)
        _wait(ready, log=found.said)
        yield found
    finally:
        subprocess.run(["podman", "rm", "--force", "--time", "1", name], capture_output=True, check=False)


@pytest.fixture
def container(synced: Synced) -> Iterator[Container]:
    """Run the image by its digest."""
    with running(synced.image) as found:
        yield found


def test_it_answers_what_training_recorded(synced: Synced, container: Container) -> None:
    """Run by digest from the second registry, every golden request gets the answer that is on record."""
    assert_golden(synced.stage, container)


def assert_golden(stage: Stage, container: Container) -> None:
    """Compare the answers to the golden requests of the good release with those on record."""
    folder = stage.registry.fetch(stage.good, layout.store(stage.root))
    golden = Golden.model_validate_json((folder / GOLDEN).read_bytes())
    with httpx.Client(base_url=container.address, trust_env=False, timeout=20) as client:
        assert client.get("/version").json()["release"] == stage.good.id
        for case in golden.cases:
            answer = client.post("/v1/predict", json={"rows": list(case.rows)})
            assert answer.status_code == 200, answer.text
            found = [value for row in answer.json()["predictions"] for value in _numbers(row)]
            wanted = [value for row in case.expected for value in row]
            assert found == pytest.approx(wanted, abs=1e-6)


def _numbers(row: object) -> list[float]:
    """Return the numbers of one prediction: one of it, or one for each class."""
    if isinstance(row, dict):
        return [value for each in row.values() for value in _numbers(each)]
    if isinstance(row, list):
        return [value for each in row for value in _numbers(each)]
    return [row] if isinstance(row, int | float) else []


def test_it_runs_as_nobody_and_can_write_nowhere_but_tmp(container: Container) -> None:
    """A user with a number, no capability, no way to gain one, and a file system that says no."""
    status = dict(line.split(":\t") for line in container.within("cat", "/proc/1/status").splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["10001"] * 4
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    for path in ("/srv/model/x", "/opt/towpath/x", "/x"):
        written = subprocess.run(["podman", "exec", container.name, "touch", path], capture_output=True, check=False)
        assert b"Read-only file system" in written.stderr
    container.within("touch", "/tmp/x")  # noqa: S108 (of the container)


def test_it_holds_what_its_bill_lists_and_no_training_library(synced: Synced, container: Container) -> None:
    """The bill inside is the one on record, is true of what is installed, and every file is compiled already."""
    python = "/opt/towpath/bin/python"
    container.within(python, "-m", "towpath_bento.image.installed", "sbom.cdx.json")
    hashed = container.within("sha256sum", "sbom.cdx.json").split()[0]
    assert f"sha256:{hashed}" == synced.record.sbom
    script = f"import importlib.util as u; print([n for n in {TRAINING} if u.find_spec(n)])"
    assert container.within(python, "-c", script) == "[]"
    assert synced.record.unvouched or synced.record.packages > 50
    assert container.within("find", "/srv/model/towpath_bento", "-name", "server.*.pyc")


def test_term_lets_requests_in_flight_finish(synced: Synced, container: Container) -> None:
    """Requests whose bodies are half sent when TERM comes are answered; the container ends with 0 within 10 s."""
    body = synced.stage.request(synced.stage.good)
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    calls = [socket.create_connection(("127.0.0.1", container.port), 10) for _ in range(4)]
    for call in calls:
        call.sendall(head.encode() + body[: len(body) // 2])
    time.sleep(0.5)  # until the worker has begun to read them
    begun = time.monotonic()
    sh("podman", "kill", "--signal", "TERM", container.name)
    time.sleep(0.5)
    for call in calls:
        call.sendall(body[len(body) // 2 :])
    answers = [_answer(call) for call in calls]
    assert [answer.split(b"\r\n", 1)[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 4
    assert all(b'"predictions"' in answer for answer in answers)
    assert sh("podman", "wait", container.name) == "0"
    assert time.monotonic() - begun < STOP_S


def _answer(call: socket.socket) -> bytes:
    call.settimeout(STOP_S)
    found = b""
    with call:
        while chunk := call.recv(65536):
            found += chunk
            if b"]" in found and found.rstrip().endswith(b"}"):
                break
    return found


def test_a_load_test_drives_the_image_and_names_its_digest(
    synced: Synced, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By digest, with podman, and nothing is left of it afterwards; an image that is not on record is not started."""
    monkeypatch.chdir(synced.stage.root)
    with pytest.raises(SystemExit) as ended:
        app(["load", "1.0.0", "--image", synced.image, "--rounds", "5", "--paced", "0.5", "--full", "0.5", "--json"])
    shown = capsys.readouterr()
    assert not ended.value.code, shown.err
    figures = LoadFigures.model_validate(json.loads(shown.out)["details"])
    assert (figures.image, figures.code, figures.champion) == (synced.record.digest, None, None)
    assert figures.challenger.memory_bytes
    assert sum(turn.full.cpu_s for turn in figures.turns) > 0
    assert sh("podman", "ps", "--all", "--quiet", "--filter", "name=towpath-load") == ""
    with pytest.raises(SystemExit) as ended:
        app(["load", "1.0.0", "--image", synced.image.replace(synced.record.digest, digest_of("another"))])
    assert ended.value.code == NotFoundError.exit_code


def test_podman_builds_an_image_whose_many_rows_xgboost_may_answer(
    synced: Synced, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second builder makes an image that serves; the native engine is in it, and answers as the first does."""
    monkeypatch.chdir(synced.stage.root)
    folder = layout.state(synced.stage.root, "images", synced.stage.good.short_id)
    with synced.stage.branch("many", "bento/service.py", 'service = model_server(name="canal")', MANY):
        towpath("image", "build", "1.0.0", "--base", base, "--builder", "podman")
    sh("skopeo", "copy", "--quiet", f"oci:{folder / 'oci'}", f"containers-storage:{NATIVE}")
    with running(NATIVE) as container:
        assert_golden(synced.stage, container)
        container.within("/opt/towpath/bin/python", "-m", "towpath_bento.image.installed", "sbom.cdx.json")
        assert container.within("/opt/towpath/bin/python", "-c", APART) == "None"
        _wait(
            lambda: any(words in container.said() for words in ("few and many rows of", "rows on,")), log=container.said
        )
        assert "cannot answer many rows" not in container.said()
    sh("podman", "rmi", "--force", NATIVE)


def test_a_base_that_lacks_a_library_is_refused_with_the_reason(
    synced: Synced, base: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """LightGBM's own code needs a library of the system, which a small Debian has not: the build says so."""
    stage = synced.stage
    monkeypatch.chdir(stage.root)
    with (
        stage.branch("light", "model.yaml", "frameworks: [xgboost]", "frameworks: [lightgbm]"),
        stage.branch("light-many", "bento/service.py", 'service = model_server(name="canal")', MANY),
    ):
        release = stage.train()
        with pytest.raises(SystemExit) as ended:
            app(["image", "build", release.short_id, "--base", base, "--builder", "buildah"])
    assert ended.value.code == DeliveryError.exit_code
    assert "libgomp.so.1" in capsys.readouterr().err


def test_the_same_input_gives_the_same_image(synced: Synced, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built again, an hour or a year later, it has the same digest; a push finds it there already."""
    monkeypatch.chdir(synced.stage.root)
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    towpath("image", "build", "1.0.0", "--base", base, "--builder", "buildah")
    place = layout.state(synced.stage.root, "images", synced.stage.good.short_id, "image.json")
    assert json.loads(place.read_text())["digest"] == synced.record.digest
