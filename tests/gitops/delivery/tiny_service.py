"""A service that follows a pointer as the real one does, with a model of two numbers and nothing to import."""

import argparse
import json
import math
import os
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LONGEST_S = 1800.0  # then it ends by itself: nobody stops it when a test run was killed
POINTER = Path(os.environ["TOWPATH_POINTER"])


class State:
    """What is live: swapped whole, so that a request sees the old or the new."""

    pointer: dict[str, Any] = {}  # noqa: RUF012 (one service per process)
    models: dict[str, dict[str, float]] = {}  # noqa: RUF012 (as above)
    error: str | None = None
    counts: Counter[tuple[str, str, int]] = Counter()  # noqa: RUF012 (as above) lane, release, status


def wanted() -> dict[str, Any] | None:
    """Return the pointer, or None when somebody has removed it."""
    try:
        return dict(json.loads(POINTER.read_text()))
    except FileNotFoundError:
        return None


def follow() -> None:
    """Load whatever the pointer says; keep the old on any error."""
    seen = 0
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        if (pointer := wanted()) is not None and pointer["generation"] != seen:
            seen = pointer["generation"]
            try:
                models = {name: load(Path(lane["path"])) for name, lane in pointer["lanes"].items()}
                State.models, State.pointer, State.error = models, pointer, None
            except (OSError, ValueError, KeyError) as error:
                State.error = f"generation {seen} cannot be loaded: {error!r}"
            workers = POINTER.parent / "workers"
            workers.mkdir(exist_ok=True)
            (workers / f"{os.getpid()}.json").write_text("{}")
        time.sleep(0.02)
    os._exit(0)


def load(folder: Path) -> dict[str, float]:
    """Return a model's numbers; one without a bias cannot be loaded."""
    model = json.loads((folder / "model.json").read_text())
    return {"bias": model["bias"], "fails_above": model.get("fails_above", math.inf)}


class Handler(BaseHTTPRequestHandler):
    """The three routes that the reconciler and the guard ask."""

    def do_GET(self) -> None:
        """Say who serves, or what was counted."""
        if self.path == "/metrics":
            labels = 'towpath_requests_total{{lane="{}",release="{}",status="{}"}} {}\n'
            self._send("".join(labels.format(*key, float(count)) for key, count in State.counts.items()).encode())
            return
        lanes = {name: lane["release"] for name, lane in State.pointer.get("lanes", {}).items()}
        generation = State.pointer.get("generation", 0)
        pointer = wanted()
        names = pointer or State.pointer
        self._answer({
            "model": names["model"], "environment": names["environment"], "release": lanes.get("champion"),
            "lanes": lanes, "generation": generation,
            "converged": pointer is not None and generation == pointer["generation"],
            "workers": {str(os.getpid()): generation},
            "error": State.error if pointer else "There is no readable pointer",
        })  # fmt: skip

    def do_POST(self) -> None:
        """Answer rows with a logistic function of their one column, or fail where the model does."""
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
        probe = self.headers.get("x-towpath-probe")
        lane = probe or "champion"
        model, release = State.models[lane], State.pointer["lanes"][lane]["release"]
        status = 500 if any(row["x"] > model["fails_above"] for row in rows) else 200
        State.counts["probe" if probe else lane, release, status] += 1
        found = [1 / (1 + math.exp(-(row["x"] + model["bias"]))) for row in rows]
        predictions = [{"label": str(p >= 0.5).lower(), "probability": p} for p in found]
        self._answer({"release": release, "predictions": predictions}, status)

    def _answer(self, document: object, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), status)

    def _send(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


parser = argparse.ArgumentParser()
for name in ("--service", "--port", "--workers"):
    parser.add_argument(name, required=True)
arguments = parser.parse_args()
if "refuse to start" in Path(arguments.service).read_text():
    sys.exit("this service refuses to start")
threading.Thread(target=follow, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(arguments.port)), Handler).serve_forever()
