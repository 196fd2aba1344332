# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""The client that is written from a signature: typed, of one file, and asking a real service."""

import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from towpath_bento.client.writing import client_text

KEY = "0123456789abcdefghij"
USE = """

def use(client: Client) -> str:
    row: Row = {"distance km": 12.5, "note": "rain", "city": "Łódź", "hour": None}
    answer = client.predict([row], entity="a")
    return answer["release"] + str(answer["predictions"][0])
"""


def load(made: Any, folder: Path) -> Any:
    """Write the client of a release and import it, as its users do."""
    path = folder / "tiny_client.py"
    path.write_text(client_text("tiny", made.signature, made.release.id), encoding="utf-8")
    spec = spec_from_file_location("tiny_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def asking(service: Any, tiny: Callable[..., Any], tmp_path: Path) -> tuple[Any, Any]:
    """The module of a client, and one that asks the service."""
    module = load(tiny(), tmp_path)
    return module, module.Client(str(service.client.base_url))


def check(folder: Path, text: str) -> str:
    """Return what mypy, as strict as it can be, says of a file."""
    (folder / "checked.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(folder / "cache")]
    return subprocess.run(
        [*command, "checked.py"], cwd=folder, check=False, capture_output=True, text=True, timeout=300
    ).stdout


def test_type_checkers_know_the_model(tiny: Callable[..., Any], tmp_path: Path) -> None:
    """Right use of each kind of model is clean under mypy --strict; a misspelt column or a wrong category is not."""
    for task in ("regression", "multiclass", "binary"):
        made = tiny(task=task)
        text = client_text("tiny", made.signature, made.release.id) + USE
        assert "Success" in check(tmp_path, text), task
    assert 'Extra key "hours"' in check(tmp_path, text.replace('"hour": None', '"hours": None'))
    assert "incompatible type" in check(tmp_path, text.replace('"city": "Łódź"', '"city": "Paris"')).lower()


def test_odd_names_do_no_harm(tiny: Callable[..., Any], tmp_path: Path) -> None:
    """Whatever a target or a class is called, it is text in the client and nothing more."""
    odd = '"""\nimport os\\', "it's", "{x}"
    made = tiny(task="multiclass", told={"target": odd[0], "classes": odd})
    module = load(made, tmp_path)
    assert module.Prediction.__annotations__["label"].__args__ == odd


def test_the_client_asks_what_it_says(asking: tuple[Any, Any], service: Any, row: Any) -> None:
    """Its answers are the service's own; a release of before, or nobody's, is asked by its id."""
    module, client = asking
    answer = client.predict([row, row], entity="a")
    assert answer == service.predict(row, row).json()
    assert client.predict([row], release=answer["release"])["predictions"] == answer["predictions"][:1]
    with pytest.raises(module.RefusedError, match="404: No such release"):
        client.predict([row], release="sha256:0")


def test_a_refusal_names_row_and_field(asking: tuple[Any, Any], row: Any) -> None:
    """What the problem document says is what is raised, with the request's id for whoever reads the log."""
    module, client = asking
    with pytest.raises(module.RefusedError) as refused:
        client.predict([row, row | {"hour": 99}])
    assert refused.value.status == 422
    assert [(each["row"], each["field"]) for each in refused.value.faults] == [(1, "hour")]
    assert refused.value.request


def test_many_rows_go_as_an_arrow_stream(asking: tuple[Any, Any], row: Any) -> None:
    """A stream is answered by a stream with a row for each."""
    _, client = asking
    table = pa.Table.from_pylist([row] * 500)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    answered = pa.ipc.open_stream(client.predict_stream(bytes(sink.getvalue()))).read_all()
    assert answered.num_rows == 500
    assert answered["probability"][0].as_py() == pytest.approx(client.predict([row])["predictions"][0]["probability"])


def test_a_key_is_shown(launch: Callable[..., Any], tiny: Callable[..., Any], tmp_path: Path, row: Any) -> None:
    """With it the service answers; without it the client raises at once."""
    (tmp_path / "keys").write_text(f"{KEY}\n")
    made = tiny()
    access = f"access=Access(keys=ApiKeys(file={str(tmp_path / 'keys')!r}), also_open=('/version',))"
    address = str(launch(settings=access, champion=made).client.base_url)
    module = load(made, tmp_path)
    assert module.Client(address, key=KEY).predict([row])["release"] == made.release.id
    with pytest.raises(module.RefusedError, match="401"):
        module.Client(address).predict([row])


def test_a_service_that_is_not_ready_is_asked_again(
    launch: Callable[..., Any], tiny: Callable[..., Any], tmp_path: Path, row: Any
) -> None:
    """A release that goes live meanwhile answers; who may try once only is told 503, and that nobody is there."""
    made = tiny()
    service = launch()
    module, address = load(made, tmp_path), str(service.client.base_url)
    with pytest.raises(module.RefusedError, match="503: No release is live"):
        module.Client(address, tries=1).predict([row])
    later = threading.Timer(0.5, service.point, kwargs={"champion": made})
    later.start()
    assert module.Client(address, tries=30).predict([row])["release"] == made.release.id
    later.join()
    with pytest.raises(OSError, match="refused"):
        module.Client("http://127.0.0.1:9", tries=1).predict([row])


def test_nothing_goes_to_another_address(tiny: Callable[..., Any], tmp_path: Path, row: Any) -> None:
    """A redirect is refused, so that no key is shown to whoever it leads to."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(302)
            self.send_header("location", "http://127.0.0.1:9/")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    module = load(tiny(), tmp_path)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(module.RefusedError, match="302"):
            module.Client(f"http://127.0.0.1:{server.server_port}", key=KEY).predict([row])
