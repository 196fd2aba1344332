import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest
from prefect.settings import get_current_settings

from towpath_flows import server
from towpath_flows.server import (
    API_URL,
    MLFLOW,
    PREFECT,
    Program,
    api_environment,
    ensure,
    find_root,
    local_api,
    running,
    stop,
)
from towpath_gitops.errors import UnavailableError

# A real server process that starts at once: the standard library's own, serving the folder of its state.
QUICK = Program(
    "Quick", "quick", "/server.log", lambda _, port: ["http.server", str(port), "--bind", "127.0.0.1"], lambda _: {}
)
BROKEN = Program("Broken", "broken", "/", lambda _, __: ["no_such_module"], lambda _: {})


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return a folder whose servers are stopped afterwards."""
    yield tmp_path
    stop(tmp_path, (QUICK, BROKEN))


def _state(root: Path) -> dict[str, int]:
    state: dict[str, int] = json.loads((root / ".towpath" / "quick" / "server.json").read_text())
    return state


def test_a_server_is_started_once_and_found_again(root: Path) -> None:
    """The second call finds the running server, at the same address, in no time."""
    first = ensure(root, QUICK)
    start = time.monotonic()
    assert ensure(root, QUICK) == first
    assert time.monotonic() - start < 2
    assert running(root, QUICK) == first
    with urlopen(f"{first}/server.log", timeout=5) as answer:  # noqa: S310 (loopback)
        assert answer.status == 200


def test_many_processes_start_one_server(root: Path) -> None:
    """Callers at the same moment wait for one another and share one server."""
    with ThreadPoolExecutor(6) as pool:
        addresses = set(pool.map(lambda _: ensure(root, QUICK), range(6)))
    assert len(addresses) == 1


def test_a_killed_server_is_started_again_at_the_same_address(root: Path) -> None:
    """After SIGKILL the state file is stale; the next call notices, and pages stay where they were."""
    first = ensure(root, QUICK)
    old = _state(root)["pid"]
    os.kill(old, signal.SIGKILL)
    _wait_until_dead(root)
    assert running(root, QUICK) is None
    assert ensure(root, QUICK) == first
    assert _state(root)["pid"] != old


def test_a_taken_port_is_avoided(root: Path) -> None:
    """When somebody else took the port meanwhile, the server moves."""
    first = ensure(root, QUICK)
    stop(root, (QUICK,))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", _state(root)["port"]))
        other.listen()
        assert ensure(root, QUICK) != first


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "port": 1, "url": "http://127.0.0.1:1"}']
)
def test_a_stale_or_damaged_state_file_is_no_server(root: Path, content: str) -> None:
    """Only the lock that a living server holds counts; process 1 is never signalled."""
    folder = root / ".towpath" / "quick"
    folder.mkdir(parents=True)
    (folder / "server.json").write_text(content)
    assert running(root, QUICK) is None
    assert stop(root, (QUICK,)) == []
    assert ensure(root, QUICK).startswith("http://127.0.0.1:")


def test_a_hung_server_is_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is alive and does not answer in time is ended and started anew."""
    ensure(root, QUICK)
    old = _state(root)["pid"]
    os.kill(old, signal.SIGSTOP)
    monkeypatch.setattr(server, "STOP_TIMEOUT_S", 0.5)
    monkeypatch.setattr(server, "START_TIMEOUT_S", 4.0)
    ensure(root, QUICK)
    assert _state(root)["pid"] != old


def test_stopping_ends_the_process(root: Path) -> None:
    """Stop tells which servers ran, and a second stop has nothing to do."""
    ensure(root, QUICK)
    assert stop(root, (QUICK,)) == ["Quick"]
    assert running(root, QUICK) is None
    assert stop(root, (QUICK,)) == []


def test_a_server_that_dies_is_told_with_its_last_words(root: Path) -> None:
    """The error shows the end of the server's log and where all of it is."""
    with pytest.raises(UnavailableError) as error:
        ensure(root, BROKEN)
    assert "no_such_module" in error.value.why
    assert "server.log" in error.value.hint


def test_the_users_own_server_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PREFECT_API_URL set nothing is started."""
    monkeypatch.setenv(API_URL, "http://prefect.example.org/api")
    variables = api_environment(tmp_path)
    assert variables[API_URL] == "http://prefect.example.org/api"
    assert "PREFECT_HOME" not in variables
    with local_api(tmp_path) as url:
        assert url == "http://prefect.example.org/api"
    assert not (tmp_path / ".towpath").exists()


@pytest.mark.parametrize("watched", [False, True])
def test_flows_wait_for_no_heartbeat_that_nobody_hears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, watched: bool
) -> None:
    """On the repository's own server flows send none, which they would wait for at their end; on the user's they do."""
    monkeypatch.delenv(API_URL, raising=False)
    monkeypatch.setattr(server, "ensure", lambda *_: "http://127.0.0.1:9")
    if watched:
        monkeypatch.setenv(API_URL, "http://prefect.example.org/api")
    before = get_current_settings().flows.heartbeat_frequency
    with local_api(tmp_path) as url:
        now = get_current_settings()
        assert now.api.url == url
        assert (now.flows.heartbeat_frequency is not None) == watched
    assert get_current_settings().flows.heartbeat_frequency == before


def test_the_environment_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `local_api` sets is gone afterwards."""
    monkeypatch.setenv(API_URL, "http://prefect.example.org/api")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    with local_api(tmp_path):
        assert os.environ["DO_NOT_TRACK"] == "1"
    assert "DO_NOT_TRACK" not in os.environ


def test_prefect_listens_on_loopback_and_tells_nobody(tmp_path: Path) -> None:
    """The server's command binds 127.0.0.1, keeps its home in the repository, and sends no statistics."""
    command, environment = PREFECT.command(tmp_path, 4200), PREFECT.environment(tmp_path)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["PREFECT_HOME"] == str(tmp_path / ".towpath" / "prefect")


def test_the_address_of_the_store_is_not_shown_to_everyone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in MLFLOW_TRACKING_URI is handed over as a variable, never as an argument that `ps` shows."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:secret@db.example.org/mlflow")
    assert "secret" not in " ".join(MLFLOW.command(tmp_path, 5000))
    assert "secret" in MLFLOW.environment(tmp_path)["MLFLOW_BACKEND_STORE_URI"]


def test_the_root_is_found_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest model.yaml upwards marks the root; TOWPATH_ROOT overrides; else it is where one stands."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_root(deep) == deep
    (tmp_path / "model.yaml").touch()
    assert find_root(deep) == tmp_path
    monkeypatch.setenv("TOWPATH_ROOT", str(deep))
    assert find_root(tmp_path) == deep


def test_starting_costs_no_heavy_import() -> None:
    """The command line imports this module: it brings neither Prefect nor pandas."""
    probe = "import sys, towpath_flows.server; print([m for m in ('prefect', 'pandas', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def _wait_until_dead(root: Path) -> None:
    deadline = time.monotonic() + 10
    while running(root, QUICK) and time.monotonic() < deadline:
        time.sleep(0.05)
