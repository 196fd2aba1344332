"""Tiny models made by hand, and services that really run on free ports."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from towpath_bento.wire import Codec
from towpath_gitops.files import write_atomically
from towpath_gitops.records.artifact import GOLDEN, GRAPH, SIGNATURE, manifest_digest
from towpath_gitops.records.golden import Case, Golden
from towpath_gitops.records.pointer import POINTER, POINTER_VARIABLE, LanePointer, Pointer, Split
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Column, Signature, Task

MODEL = "tiny"
CITIES = ("Delft", "Gent", "Łódź")
START_S, STOP_S = 60, 10


COLUMNS = (
    Column(name="distance km", type="number", minimum=0),
    Column(name="hour", type="integer", nullable=True, minimum=0, maximum=23),
    Column(name="holiday", type="boolean", nullable=True),
    Column(name="city", type="string", nullable=True, categories=CITIES),
    Column(name="note", type="string"),
)
BLOCKS = {"numbers": ["distance km", "hour", "holiday"], "texts": ["city", "note"]}
ROW: dict[str, Any] = {"distance km": 3.5, "hour": 9, "holiday": True, "city": "Gent", "note": "rain"}
SPARSE: dict[str, Any] = {"distance km": 0, "hour": None, "note": ""}


def signature(task: Task = "binary") -> Signature:
    """Return the signature of the tiny models."""
    classes = {"binary": ("on time", "late"), "multiclass": ("a", "b", "c"), "regression": None}[task]
    threshold = 0.5 if task == "binary" else None
    return Signature(
        task=task, target="late", classes=classes, threshold=threshold, entity="trip", inputs=COLUMNS, sensitive=()
    )


def graph(task: Task, bias: float, *, apart: bool = False) -> onnx.ModelProto:
    """Return a graph: a weighted sum over all columns, missing counted as 0, and what the task makes of it.

    It takes all numbers and all texts in an array each, or `apart`, as the graphs of older releases, every column.
    """
    names = {"distance km": "n0", "hour": "n1", "holiday": "n2"}
    weights = {"binary": [[0.1], [0.2], [0.3], [0.4], [0.5]], "regression": [[1.0], [1.0], [1.0], [1.0], [1.0]]}.get(
        task, [[0.1, 0.2, 0.3]] * 5
    )
    nodes = [helper.make_node("IsNaN", [name], [f"{short}m"]) for name, short in names.items()]
    nodes += [helper.make_node("Where", [f"{short}m", "zero", name], [short]) for name, short in names.items()]
    nodes += [
        helper.make_node(
            "LabelEncoder",
            [name],
            [out],
            domain="ai.onnx.ml",
            keys_strings=list(keys),
            values_floats=[float(i + 1) for i in range(len(keys))],
            default_float=0.0,
        )
        for name, out, keys in (("city", "n3", CITIES), ("note", "n4", ("rain", "snow")))
    ]
    nodes += [
        helper.make_node("Concat", ["n0", "n1", "n2", "n3", "n4"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "weights"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["score"]),
    ]
    nodes += {
        "binary": [
            helper.make_node("Sigmoid", ["score"], ["p"]),
            helper.make_node("Sub", ["one", "p"], ["q"]),
            helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
        ],
        "multiclass": [helper.make_node("Softmax", ["score"], ["probabilities"], axis=1)],
        "regression": [helper.make_node("Identity", ["score"], ["variable"])],
    }[task]
    if not apart:
        nodes = [
            helper.make_node("Split", [block], names, axis=1, num_outputs=len(names)) for block, names in BLOCKS.items()
        ] + nodes
    output = "variable" if task == "regression" else "probabilities"
    constants = {"zero": [0.0], "one": [1.0], "bias": [bias], "weights": weights}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [_input(item.name, [item]) for item in COLUMNS] if apart else [_input(*each) for each in _blocks()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, None])],
            [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=9,
    )


def _blocks() -> Iterator[tuple[str, list[Column]]]:
    yield from ((block, [item for item in COLUMNS if item.name in names]) for block, names in BLOCKS.items())


def _input(name: str, columns: list[Column]) -> onnx.ValueInfoProto:
    kind = TensorProto.STRING if columns[0].type == "string" else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, [None, len(columns)])


def expected(task: Task, bias: float, rows: list[dict[str, Any]]) -> list[list[float]]:
    """Return what the graph must answer, computed without it."""
    answers = []
    for row in rows:
        city, note = row.get("city"), row.get("note")
        x = [
            row.get("distance km") or 0,
            row.get("hour") or 0,
            float(row.get("holiday") or 0),
            CITIES.index(city) + 1 if city else 0,
            {"rain": 1, "snow": 2}.get(str(note), 0),
        ]
        if task == "binary":
            answers.append([1 / (1 + np.exp(-(np.dot(x, [0.1, 0.2, 0.3, 0.4, 0.5]) + bias)))])
        elif task == "regression":
            answers.append([sum(x) + bias])
        else:
            score = np.exp(sum(x) * np.array([0.1, 0.2, 0.3]) + bias)
            answers.append(list(score / score.sum()))
    return [[float(value) for value in answer] for answer in answers]


@dataclass(frozen=True)
class Tiny:
    """A release with its artifact."""

    release: Release
    folder: Path
    signature: Signature

    @property
    def lane(self) -> LanePointer:
        """The release as a pointer names it."""
        return LanePointer(release=self.release.id, artifact=self.release.artifact, path=str(self.folder))


def make_release(  # noqa: PLR0913 (what a test may wish for, by name)
    folder: Path,
    *,
    bias: float = 0.0,
    version: int = 1,
    task: Task = "binary",
    golden_error: float = 0.0,
    apart: bool = False,
    told: dict[str, Any] | None = None,
) -> Tiny:
    """Write an artifact into `folder` and return its release; `golden_error` spoils what its golden requests expect.

    `told` are fields of the signature.
    """
    folder.mkdir(parents=True)
    rows = [ROW, SPARSE]
    numbers = [tuple(value + golden_error for value in row) for row in expected(task, bias, rows)]
    contract = signature(task).model_copy(update=told or {})
    onnx.save(graph(task, bias, apart=apart), folder / GRAPH)
    (folder / SIGNATURE).write_text(contract.model_dump_json(by_alias=True))
    golden = Golden(cases=(Case(rows=tuple(rows), expected=tuple(numbers)), Case(rows=(ROW,), expected=(numbers[0],))))
    (folder / GOLDEN).write_text(golden.model_dump_json(by_alias=True))
    release = Release(
        model=MODEL,
        version=version,
        semver=f"1.0.{version}",
        artifact=manifest_digest(folder),
        schema=contract.digest,
        data="sha256:" + "0" * 64,
        code="0" * 40,
    )
    return Tiny(release, folder, contract)


@dataclass
class Service:
    """A service that runs, and the pointer it follows."""

    folder: Path
    port: int
    workers: int
    process: subprocess.Popen[bytes]
    generation: int = 0
    started_s: float = 0.0
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Open a client for the service."""
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20, trust_env=False)

    def point(self, split: Split | None = None, **lanes: Tiny) -> int:
        """Write the pointer and return its generation."""
        self.generation += 1
        write_pointer(self.folder / POINTER, self.generation, split, **lanes)
        return self.generation

    def switch(self, split: Split | None = None, **lanes: Tiny) -> dict[str, Any]:
        """Write the pointer and wait until all workers serve it."""
        wanted = self.point(split, **lanes)
        return self.wait(lambda version: version["converged"] and version["generation"] == wanted)

    def wait(self, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 20) -> dict[str, Any]:
        """Wait until `/version` fulfils `condition`; return it."""
        end = time.monotonic() + timeout_s
        while True:
            version: dict[str, Any] = self.client.get("/version").json()
            if condition(version):
                return version
            assert time.monotonic() < end, version
            time.sleep(0.02)

    def predict(self, *rows: dict[str, Any], entity: str | None = None) -> httpx.Response:
        """Ask for predictions."""
        return self.client.post("/v1/predict", json={"rows": list(rows), "entity": entity})

    @property
    def log(self) -> str:
        """What the service has printed."""
        return (self.folder / "service.log").read_text()


def write_pointer(path: Path, generation: int, split: Split | None = None, **lanes: Tiny) -> None:
    """Write a pointer to these lanes."""
    wanted = {name: tiny.lane for name, tiny in lanes.items()}
    pointer = Pointer(model=MODEL, environment="testing", generation=generation, lanes=wanted, split=split)
    write_atomically(path, pointer.model_dump_json(by_alias=True))


def start(folder: Path, *, workers: int = 1, settings: str = "", **lanes: Tiny) -> Service:
    """Start a service in `folder` and wait until it answers; `settings` are arguments of `model_server`."""
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "service.py").write_text(
        "from towpath_bento.server import model_server\nfrom towpath_bento.settings import *\n"
        "from towpath_bento.access import Access, ApiKeys\n\n"
        f"service = model_server({MODEL!r}, {settings})\n"
    )
    port = free_port()
    arguments = ["--service", str(code / "service.py"), "--port", str(port), "--workers", str(workers)]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "towpath_bento", *arguments],
            env=os.environ | {POINTER_VARIABLE: str(folder / POINTER)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    service = Service(folder, port, workers, process)
    if lanes:
        service.point(**lanes)
    begun = time.monotonic()
    wait_for_port(service, begun)
    service.wait(lambda version: len(version["workers"]) == workers or not lanes, START_S)
    service.started_s = time.monotonic() - begun
    return service


def wait_for_port(service: Service, begun: float) -> None:
    """Wait until the service answers at all."""
    while True:
        assert service.process.poll() is None, service.log
        assert time.monotonic() - begun < START_S, service.log
        try:
            service.client.get("/livez")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return


def stop(service: Service) -> float:
    """End a service with TERM, and return the seconds it took."""
    begun = time.monotonic()
    service.client.close()
    service.process.send_signal(signal.SIGTERM)
    try:
        service.process.wait(STOP_S)
    finally:
        if service.process.poll() is None:
            os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait()
    return time.monotonic() - begun


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Tiny]:
    """Make releases of tiny models below the test's own folder."""
    numbers = iter(range(1000))
    return lambda **options: make_release(tmp_path / "store" / str(next(numbers)), **options)


@pytest.fixture
def codec() -> Codec:
    """Requests and answers of the tiny binary model."""
    return Codec(signature())


@pytest.fixture
def row() -> dict[str, Any]:
    """A valid row of the tiny models."""
    return dict(ROW)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service with one worker and one champion for the module's tests."""
    folder = tmp_path_factory.mktemp("service")
    running = start(folder, champion=make_release(folder / "champion"))
    yield running
    assert stop(running) < STOP_S


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service with two workers and one champion for the module's tests."""
    folder = tmp_path_factory.mktemp("pair")
    running = start(folder, workers=2, champion=make_release(folder / "champion"))
    yield running
    assert stop(running) < STOP_S


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services that the test itself ends, or that are ended after it."""
    running: list[Service] = []

    def begin(**options: Any) -> Service:  # noqa: ANN401 (passed on)
        running.append(start(tmp_path / f"launched{len(running)}", **options))
        return running[-1]

    yield begin
    for service in running:
        if service.process.poll() is None:
            stop(service)
        service.client.close()
