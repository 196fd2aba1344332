# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from towpath_gitops.files import write_atomically
from towpath_gitops.records.pointer import POINTER, Split


@pytest.fixture
def champion(pair: Any, tiny: Callable[..., Any]) -> Any:
    """A fresh release, made champion of both workers."""
    made = tiny(bias=-1.0)
    pair.switch(champion=made)
    return made


class Traffic:
    """Callers who never stop asking, each over a connection of its own."""

    def __init__(self, port: int, row: dict[str, Any], callers: int = 4) -> None:
        """Prepare the callers."""
        self.answers: Counter[tuple[int, str]] = Counter()
        self.mixed = 0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(port, row)) for _ in range(callers)]

    def _ask(self, port: int, row: dict[str, Any]) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
            while not self._ended.is_set():
                answer = client.post("/v1/predict", json={"rows": [row] * 20})
                release = answer.headers.get("x-towpath-release", "")
                with self._lock:
                    self.answers[answer.status_code, release] += 1
                    self.mixed += len({item["probability"] for item in answer.json()["predictions"]}) != 1

    def __enter__(self) -> Self:
        """Start asking."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_switching_under_load_loses_nothing(
    pair: Any, champion: Any, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Callers who never stop are all answered while releases change, and no answer mixes two releases."""
    others = [tiny(bias=float(number), version=number + 2) for number in range(3)]
    with Traffic(pair.port, row) as traffic:
        for made in (*others, champion, others[0]):
            assert pair.switch(champion=made)["release"] == made.release.id
            time.sleep(0.2)
    assert {status for status, _ in traffic.answers} == {200}
    assert {release for _, release in traffic.answers} == {made.release.id for made in (*others, champion)}
    assert traffic.mixed == 0


def test_the_way_back_is_instant_and_byte_equal(
    pair: Any, champion: Any, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """The old lane stays warm, even without its files, and answers the very bytes it answered before."""
    before = pair.predict(row).content
    pair.switch(champion=tiny(bias=2.0, version=2))
    assert pair.predict(row).content != before
    for path in champion.folder.iterdir():
        path.unlink()
    begun = time.monotonic()
    pair.switch(champion=champion)
    assert time.monotonic() - begun < 1
    assert pair.predict(row).content == before


@pytest.mark.parametrize("fault", ["golden", "tampered", "missing", "other model", "not json"])
def test_a_bad_release_never_takes_traffic(
    pair: Any, champion: Any, tiny: Callable[..., Any], row: dict[str, Any], fault: str
) -> None:
    """Whatever is wrong with the wanted release, the old one goes on serving and `/version` says why."""
    bad = tiny(bias=3.0, version=2, golden_error=0.0 if fault in {"tampered", "missing"} else 0.01)
    with Traffic(pair.port, row, callers=1) as traffic:
        if fault == "tampered":
            with (bad.folder / "model.onnx").open("ab") as file:
                file.write(b"\0")
        if fault == "missing":
            (bad.folder / "model.onnx").unlink()
        wanted = pair.point(champion=bad)
        pointer = pair.folder / POINTER
        if fault == "other model":
            write_atomically(pointer, pointer.read_text().replace('"tiny"', '"other"'))
        if fault == "not json":
            write_atomically(pointer, "{")
        version = pair.wait(lambda version: version["error"] is not None)
        time.sleep(0.3)
    assert version["converged"] is False
    assert version["environment"] == "testing"
    assert fault == "not json" or version["error"].startswith(f"Generation {wanted}: ")
    assert version["release"] == champion.release.id
    assert set(version["workers"].values()) == {wanted - 1}
    assert set(traffic.answers) == {(200, champion.release.id)}
    good = pair.switch(champion=champion)
    assert good["error"] is None


def test_a_split_answers_by_key(pair: Any, champion: Any, tiny: Callable[..., Any], row: dict[str, Any]) -> None:
    """Champion and challenger share the callers; a key always meets the same lane, in every worker."""
    other = tiny(bias=2.0, version=2)
    split = Split(mode="ab", share=0.5, salt="s1")
    version = pair.switch(split, champion=champion, challenger=other)
    assert version["lanes"] == {"champion": champion.release.id, "challenger": other.release.id}
    lanes = {}
    for key in map(str, range(40)):
        answers = [pair.predict(row, entity=key) for _ in range(3)]
        names = {answer.headers["x-towpath-lane"] for answer in answers}
        assert len(names) == 1
        lanes[key] = names.pop()
        expected = {"champion": champion, "challenger": other}[lanes[key]]
        assert answers[0].json()["release"] == expected.release.id
    assert set(lanes.values()) == {"champion", "challenger"}
    pair.switch(champion=champion)


def test_a_shadow_is_scored_and_never_answers(
    pair: Any, champion: Any, tiny: Callable[..., Any], row: dict[str, Any]
) -> None:
    """The shadow lane sees the requests, and its answers are only counted."""
    other = tiny(bias=2.0, version=2)
    pair.switch(Split(mode="shadow", share=1.0, salt="s2"), champion=champion, shadow=other)
    for _ in range(10):
        assert pair.predict(row).json()["release"] == champion.release.id
    wanted = f'towpath_shadow_rows_total{{release="{other.release.id}"}} 10.0'
    end = time.monotonic() + 5
    while wanted not in pair.client.get("/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.05)
    pair.switch(champion=champion)


def test_workers_that_lost_their_states_tell_them_again(pair: Any, champion: Any) -> None:
    """Whoever waits for a service to converge is not kept waiting for the next switch."""
    shutil.rmtree(pair.folder / "workers")
    version = pair.wait(lambda version: version["converged"])
    assert version["release"] == champion.release.id
    assert len(version["workers"]) == 2


def test_a_killed_worker_is_replaced(pair: Any, champion: Any, row: dict[str, Any]) -> None:
    """When a worker is killed another takes its place, loads the live release, and the service converges again."""
    killed = next(iter(pair.client.get("/version").json()["workers"]))
    os.kill(int(killed), signal.SIGKILL)
    end = time.monotonic() + 60
    while True:
        with httpx.Client(base_url=str(pair.client.base_url), trust_env=False, timeout=10) as client:
            try:
                version = client.get("/version").json()
            except httpx.TransportError:
                continue  # the connection was the killed worker's
            if killed not in version["workers"] and len(version["workers"]) == 2 and version["converged"]:
                break
        assert time.monotonic() < end
        time.sleep(0.1)
    assert not (pair.folder / "workers" / f"{killed}.json").exists()
    with httpx.Client(base_url=str(pair.client.base_url), trust_env=False) as client:
        answer = client.post("/v1/predict", json={"rows": [row]})
    assert answer.json()["release"] == champion.release.id


def test_starting_without_a_pointer_then_ending(launch: Callable[..., Any], tiny: Callable[..., Any]) -> None:
    """Without a pointer a service is alive, not ready; with one it goes live; TERM ends all of its processes."""
    service = launch()
    assert service.client.get("/livez").status_code == 200
    for path in ("/readyz", "/ping", "/openapi.json"):
        assert service.client.get(path).status_code == 503
    refused = service.predict({})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert service.client.get("/version").json() | {"error": None} == {
        "model": "tiny",
        "environment": "",
        "release": None,
        "lanes": {},
        "generation": 0,
        "converged": False,
        "workers": {},
        "error": None,
    }
    service.switch(champion=tiny())
    assert service.client.get("/readyz").status_code == 200
    children = _children(service.process.pid)
    assert children
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(10) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert not list((service.folder / "workers").glob("*.json"))


def test_workers_end_with_their_supervisor(launch: Callable[..., Any], tiny: Callable[..., Any]) -> None:
    """When the supervisor is killed outright its workers do not go on alone."""
    service = launch(champion=tiny())
    children = _children(service.process.pid)
    service.process.kill()
    service.process.wait()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < end
        time.sleep(0.05)


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], check=True, capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]
