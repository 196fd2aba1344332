"""Two services that really run, driven by Locust in rounds, in a process of its own."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from towpath_bento.load.plan import Contestant, Driven, Plan
from towpath_gitops.records.artifact import REFERENCE, manifest_digest
from towpath_gitops.records.base import digest_file
from towpath_gitops.records.load import Shape

ROUNDS = 5
LOCUSTFILE = Path(__file__).parents[2] / "template" / "bento" / "locustfile.py"
BROKEN = """
from towpath_bento.load.caller import Caller


class Broken(Caller):
    def send(self, call):
        call.body = b'{"rows": [{"unknown": 1}]}'
        return super().send(call)
"""


def sampled(tiny: Any) -> Any:  # noqa: ANN401 (the fixtures' own types live in conftest, which tests cannot import)
    """Give a release a reference sample, and the digest that it has with it."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"distance km": random.uniform(0, 9, 50), "hour": random.integers(0, 24, 50), "holiday": 1.0})
    frame.astype("float32").assign(city="Gent", note="rain").to_parquet(tiny.folder / REFERENCE)
    release = tiny.release.model_copy(update={"artifact": manifest_digest(tiny.folder)})
    return type(tiny)(release, tiny.folder, tiny.signature)


def drive(plan: Plan, folder: Path) -> Driven:
    """Drive services as the verb does."""
    out = folder / "driven.json"
    command = [sys.executable, "-m", "towpath_bento.load", str(out)]
    done = subprocess.run(command, input=plan.model_dump_json(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("round ") == plan.rounds
    return Driven.model_validate_json(out.read_bytes())


@pytest.fixture
def contestants(tiny: Callable[..., Any], launch: Callable[..., Any]) -> tuple[Contestant, ...]:
    """Run two services: challenger and champion; the champion's is asked twice."""
    found = []
    for role, bias in (("challenger", 1.0), ("champion", 0.0)):
        release = sampled(tiny(bias=bias, version=len(found) + 1))
        service = launch(champion=release)
        values = {"port": service.port, "pid": service.process.pid, "artifact": str(release.folder)}
        found.append(Contestant.model_validate({"role": role, **values}))
    return (*found, found[1].model_copy(update={"role": "twin"}))


def test_services_take_turns_and_every_request_is_counted(contestants: tuple[Contestant, ...], tmp_path: Path) -> None:
    """Each round holds each service, at the rate and at full speed, with its processor time; the report is kept.

    A locustfile of one's own whose every request is refused: all of them are counted as hard errors.
    """
    page = tmp_path / "report.html"
    common: dict[str, Any] = {"users": 2, "workers": 1, "rate": 40.0, "paced_s": 0.3, "full_s": 0.3}
    plan = Plan(contestants=contestants, rounds=ROUNDS, report=str(page), **common)
    driven = drive(plan, tmp_path)
    assert len(driven.rounds) == ROUNDS
    for each in driven.rounds:
        assert each.champion is not None
        assert each.twin is not None
        for turn in (each.challenger, each.champion, each.twin):
            assert (turn.paced.errors, turn.full.errors) == (0, 0)
            assert turn.full.rows == turn.full.requests
        # The same requests at the same moments for all of them.
        assert each.challenger.paced.requests == each.champion.paced.requests == each.twin.paced.requests
    assert sum(each.challenger.full.cpu_s for each in driven.rounds) > 0
    assert driven.report == digest_file(page)
    assert "/v1/predict" in page.read_text()
    assert (driven.memory_bytes["challenger"] or 0) > 10_000_000
    assert json.loads(driven.model_dump_json())["setting"]["sent"]["bodies"] == 50

    callers = tmp_path / "locustfile.py"
    callers.write_text(BROKEN)
    plan = Plan(contestants=contestants[:1], rounds=1, callers=str(callers), **common)
    (only,) = drive(plan, tmp_path).rounds
    assert only.champion is None
    for stretch in (only.challenger.paced, only.challenger.full):
        assert (stretch.errors, stretch.rows) == (stretch.requests, 0)


@pytest.mark.long
@pytest.mark.parametrize("shape", ["ramp", "spike", "soak"])
def test_a_shape_drives_services_at_its_rates(
    tiny: Callable[..., Any], launch: Callable[..., Any], tmp_path: Path, shape: str
) -> None:
    """Beside a steady stretch with the same seed it sends as many requests as its form says, and none fails."""
    release = sampled(tiny())
    service = launch(champion=release)
    values: dict[str, Any] = {"port": service.port, "pid": service.process.pid, "artifact": str(release.folder)}
    common: dict[str, Any] = {"users": 4, "workers": 1, "rate": 200.0, "paced_s": 1.0, "full_s": 0.2, "rounds": 1}
    contestants = (Contestant(role="challenger", **values),)
    sent = {}
    for each in ("steady", shape):
        (only,) = drive(Plan(contestants=contestants, shape=each, **common), tmp_path).rounds
        assert (only.challenger.paced.errors, only.challenger.full.errors) == (0, 0)
        sent[each] = only.challenger.paced.requests
    assert sent[shape] / sent["steady"] == pytest.approx({"ramp": 0.55, "spike": 1.6, "soak": 20.0}[shape], rel=0.3)


def test_plain_locust_drives_a_service_in_every_shape(
    tiny: Callable[..., Any], launch: Callable[..., Any], tmp_path: Path
) -> None:
    """`locust -f bento/locustfile.py` of a generated repository ends with 0, and its own counts follow the shape."""
    release = sampled(tiny())
    service = launch(champion=release)
    options = ["--headless", "-u", "4", "-r", "4", "-t", "4s", "--rate", "50", "--host", str(service.client.base_url)]
    running = {}
    for shape in get_args(Shape):
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *options, "--shape", shape]
        command += ["--artifact", str(release.folder), "--csv", str(tmp_path / shape)]
        with (tmp_path / f"{shape}.log").open("wb") as log:
            running[shape] = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
    sent = {}
    for shape, process in running.items():
        assert process.wait(120) == 0, (tmp_path / f"{shape}.log").read_text()[-3000:]
        text = (tmp_path / f"{shape}_stats.csv").read_text()
        (total,) = (row for row in csv.DictReader(io.StringIO(text)) if row["Name"] == "Aggregated")
        assert total["Failure Count"] == "0"
        sent[shape] = int(total["Request Count"])
    assert sent["ramp"] < sent["steady"] < sent["spike"], sent
    counted = service.client.get("/metrics").text
    found = re.search(r'towpath_requests_total\{lane="champion",release="[^"]+",status="200"\} ([\d.]+)', counted)
    assert found
    assert float(found[1]) >= sum(sent.values())


def test_a_locustfile_without_one_user_class_is_refused(tmp_path: Path) -> None:
    """The driver ends in three beats and an exit code, before anything is driven."""
    (tmp_path / "locustfile.py").write_text("from towpath_bento.load.caller import Caller\n")
    contestant = Contestant(role="challenger", port=1, pid=1, artifact=str(tmp_path))
    common: dict[str, Any] = {"users": 1, "workers": 1, "rate": 1.0, "paced_s": 0.3, "full_s": 0.3, "rounds": 1}
    plan = Plan(contestants=(contestant,), callers=str(tmp_path / "locustfile.py"), **common)
    command = [sys.executable, "-m", "towpath_bento.load", str(tmp_path / "out.json")]
    done = subprocess.run(command, input=plan.model_dump_json(), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "defines 0 user classes" in done.stderr
