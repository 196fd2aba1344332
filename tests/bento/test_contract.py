# ruff: noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
"""The contract that a service publishes, held against it by schemathesis: what it allows is taken, all else refused."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from towpath_gitops.files import write_atomically
from towpath_gitops.records.pointer import POINTER, Pointer

KEY = "0123456789abcdefghij"
PHASES = "examples,coverage,fuzzing"  # not stateful: no answer leads to another request


def hold(  # noqa: PLR0913 (what a test may wish for, by name)
    service: Any,
    folder: Path,
    cases: int,
    *,
    path: str = "/openapi.json",
    headers: tuple[str, ...] = (),
    timeout_s: float = 600,
) -> int:
    """Let schemathesis send `cases` to each operation, and what else it finds at the edges; return how many it sent."""
    address = f"{service.client.base_url}{path}"
    command = [sys.executable, "-m", "schemathesis.cli", "run", address, "--no-color", "--phases", PHASES]
    command += ["--max-examples", str(cases), "--seed", "7", "--generation-database", "none", "--warnings", "off"]
    command += [part for header in headers for part in ("--header", header)]
    result = subprocess.run(
        command, cwd=folder, env=os.environ | {"NO_PROXY": "*"}, check=False, capture_output=True, text=True,
        timeout=timeout_s,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    sent = re.search(r"([\d,]+) generated", result.stdout)
    assert sent, result.stdout[-2000:]
    return int(sent[1].replace(",", ""))


def test_the_service_keeps_its_contract(service: Any, tmp_path: Path) -> None:
    """In a thousand requests, allowed and not, no answer is other than the document says, and none is 5xx."""
    assert hold(service, tmp_path, 250) > 1000
    assert 'status="500"' not in service.client.get("/metrics").text


def test_a_release_of_before_has_a_contract_of_its_own(service: Any, tmp_path: Path, tiny: Any) -> None:
    """Its document describes its own columns and answers, which may be others than the champion's."""
    path = service.folder / POINTER
    pointer = Pointer.model_validate_json(path.read_text())
    before = tiny(task="multiclass", version=9)
    changed = pointer.model_copy(update={"generation": pointer.generation + 1, "earlier": (before.lane,)})
    write_atomically(path, changed.model_dump_json(by_alias=True))
    service.generation = changed.generation
    service.wait(lambda version: version["converged"] and version["generation"] == changed.generation)
    place = f"/v1/releases/{before.release.id}"
    made = service.client.get(f"{place}/openapi.json").json()
    assert (
        "probabilities" in made["components"]["schemas"]["Answer"]["properties"]["predictions"]["items"]["properties"]
    )
    assert hold(service, tmp_path, 10, path=f"{place}/openapi.json") > 100
    (named,) = made["paths"]["/v1/releases/{release}/predict"]["post"]["parameters"]
    assert named["schema"]["enum"] == [before.release.id]
    assert service.client.get("/v1/releases/sha256:0/openapi.json").status_code == 404


def test_a_service_that_asks_for_a_key_keeps_its_contract(
    launch: Callable[..., Any], tiny: Callable[..., Any], tmp_path: Path
) -> None:
    """With the key all is as the document says; with another, nothing answers but what is open."""
    (tmp_path / "keys").write_text(f"{KEY}\n")
    access = f"access=Access(keys=ApiKeys(file={str(tmp_path / 'keys')!r}), also_open=('/version',))"
    service = launch(settings=access, champion=tiny())
    assert hold(service, tmp_path, 25, headers=(f"x-api-key: {KEY}",)) > 100
    service.client.headers["x-api-key"] = KEY
    made = service.client.get("/openapi.json").json()
    described = {(path, method): each for path, item in made["paths"].items() for method, each in item.items()}
    named = {path for path, _ in described if not described[path, _].get("security")}
    assert named == {"/livez", "/readyz", "/ping", "/version"}
    service.client.headers["x-api-key"] = KEY[::-1]
    for (path, method), each in described.items():
        answer = service.client.request(method, path)
        assert (answer.status_code == 401) == ("security" in each)
        assert "x-request-id" in answer.headers
    service.client.headers["x-api-key"] = KEY
    assert 'status="500"' not in service.client.get("/metrics").text


@pytest.mark.long
@pytest.mark.timeout(5400)
def test_the_service_keeps_its_contract_for_long(service: Any, tmp_path: Path) -> None:
    """In fifty thousand requests nothing is found."""
    assert hold(service, tmp_path, 13_000, timeout_s=5000) >= 50_000
