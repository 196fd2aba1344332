# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import httpx
import pytest

from towpath_bento.declared import needed_libraries
from towpath_bento.package import _SERVING, PackagedBento, package
from towpath_bento.pins import requirements
from towpath_bento.server import ModelServer
from towpath_bento.settings import Journal
from towpath_bento.tracing import EXPORTER
from towpath_gitops.errors import DeliveryError, DigestMismatchError, MissingDependencyError, NotFoundError

TRAINING = {
    "xgboost",
    "lightgbm",
    "scikit-learn",
    "pandas",
    "mlflow",
    "prefect",
    "optuna",
    "onnx",
    "skl2onnx",
    "scipy",
    "pyarrow",
}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The `bento/` folder of a model repository."""
    folder = tmp_path / "bento"
    folder.mkdir()
    (folder / "service.py").write_text(
        'from towpath_bento.server import model_server\n\nservice = model_server("tiny")\n'
    )
    return folder


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[PackagedBento], str]]:
    """Serve Bentos where nothing can be imported but what their requirements name; give their addresses."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(bento: PackagedBento) -> str:
        allowed = {pin.partition("==")[0] for pin in bento.requirements}
        wall = tmp_path / "wall"
        wall.mkdir()
        (wall / "sitecustomize.py").write_text(WALL.format(blocked=sorted(_modules_beyond(allowed))))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOWPATH_")}
        environment |= {"PYTHONPATH": str(wall), "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
        command = [sys.executable, "-m", "bentoml", "serve", str(bento.folder), "--port", str(port)]
        with (tmp_path / "log").open("wb") as log:
            running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log))
        return f"http://127.0.0.1:{port}"

    yield begin
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


WALL = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{{name}} is not among the Bento's requirements", name=name)
BLOCKED = frozenset({blocked})
sys.meta_path.insert(0, Wall())
"""


def _modules_beyond(allowed: set[str]) -> Iterator[str]:
    for module, distributions in packages_distributions().items():
        names = {name.lower().replace("_", "-").replace(".", "-") for name in distributions}
        if not names & allowed and not module.startswith(("towpath", "_virtualenv")):
            yield module


def test_a_bento_serves_its_release_alone(
    tmp_path: Path, code: Path, tiny: Callable[..., Any], serve: Callable[[PackagedBento], str], row: dict[str, Any]
) -> None:
    """Without a pointer, an index or a training library, a Bento answers as the release that was packaged."""
    made = tiny()
    packed = package(made.release, made.folder, code, tmp_path / "bentos")
    _holds_what_serving_needs_and_no_more(packed, made)
    with httpx.Client(base_url=serve(packed), trust_env=False, timeout=10) as client:
        end = time.monotonic() + 60
        while True:
            try:
                ready = client.get("/readyz").status_code == 200
            except httpx.TransportError:
                ready = False
            if ready:
                break
            assert time.monotonic() < end
            time.sleep(0.1)
        version = client.get("/version").json()
        answer = client.post("/v1/predict", json={"rows": [row]})
        port = client.base_url.port
    assert version["release"] == made.release.id
    assert f" 0100007F:{port:04X} 00000000:0000 0A " in Path("/proc/net/tcp").read_text()
    assert version["environment"] == "packaged"
    assert version["converged"] is True
    assert answer.json()["release"] == made.release.id


def test_what_cannot_be_packaged_is_refused(tmp_path: Path, code: Path, tiny: Callable[..., Any]) -> None:
    """A changed artifact, a folder without a service, a broken service: each is told, and nothing is left behind."""
    made = tiny()
    into = tmp_path / "bentos"
    with pytest.raises(NotFoundError, match=r"service\.py"):
        package(made.release, made.folder, tmp_path, into)
    (code / "service.py").write_text("raise SystemError('broken on purpose')\n")
    with pytest.raises(DeliveryError) as caught:
        package(made.release, made.folder, code, into)
    assert "broken on purpose" in caught.value.why
    (made.folder / "model.onnx").write_bytes(b"")
    with pytest.raises(DigestMismatchError):
        package(made.release, made.folder, code, into)
    assert not into.exists()


def _holds_what_serving_needs_and_no_more(packed: PackagedBento, made: Any) -> None:
    names = {pin.partition("==")[0] for pin in packed.requirements}
    assert not names & TRAINING
    assert {"bentoml", "onnxruntime", "msgspec", "numpy", "prometheus-client", "pydantic", "uvicorn"} <= names
    written = (packed.folder / "env" / "python" / "requirements.txt").read_text().split()
    assert set(packed.requirements) <= set(written)
    assert packed.unvouched == packed.requirements  # there was no lock file
    inside = {path.name for path in (packed.folder / "src").iterdir()}
    assert {"service.py", "release.json", "model", "towpath_bento", "towpath_gitops", "sbom.cdx.json"} <= inside
    assert "ARG BENTOML_HOST=0.0.0.0" in (packed.folder / "env" / "docker" / "Dockerfile").read_text()
    assert packed.tag == f"tiny:1.0.1-{made.release.short_id}"


@pytest.mark.parametrize(
    ("journal", "on"),
    [
        (Journal(), False),
        (Journal(share=1), False),
        (Journal(folder="/var/journal"), True),
        (Journal(s3="s3://bucket/prefix", share=0.5), True),
        (Journal(folder="/var/journal", share=0), False),
    ],
)
def test_only_an_image_with_a_journal_holds_pyarrow(journal: Journal, on: bool) -> None:  # noqa: FBT001 (a case)
    """An image has no folder of its own to remember in: where the owner gives none, it needs nothing to write with."""
    assert ModelServer("tiny", 1, journal=journal).needs == (("pyarrow",) if on else ())


def test_a_journal_is_written_with_what_its_service_says_it_needs(tmp_path: Path, code: Path) -> None:
    """The service file is asked, whatever it prints; with what it names, and no more, a journal can be written."""
    (code / "service.py").write_text(
        "from towpath_bento.server import model_server\nfrom towpath_bento.settings import Journal, Tracing\n"
        "print('hello')\nservice = model_server('tiny', journal=Journal(folder='/var/journal'), tracing=Tracing())\n"
    )
    *needed, exporter = needed_libraries(code / "service.py")
    assert (needed, exporter) == (["pyarrow"], EXPORTER)
    allowed = {pin.partition("==")[0] for pin in requirements([*_SERVING, *needed])}
    (tmp_path / "sitecustomize.py").write_text(WALL.format(blocked=sorted(_modules_beyond(allowed))))
    command = [sys.executable, "-c", "import towpath_bento.journal.reading, towpath_bento.journal.writer"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=True)


def test_a_library_that_is_not_here_cannot_be_pinned() -> None:
    """Pins come from what is installed and was tested, never from a guess."""
    with pytest.raises(MissingDependencyError, match="no-such-library"):
        requirements(["no-such-library"])
