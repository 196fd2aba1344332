"""A service that follows a pointer as the real one does, with a model of two numbers and nothing to import."""

import argparse
import json
import math
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LONGEST_S = 600.0  # then it ends by itself: nobody stops it when a test run was killed
POINTER = Path(os.environ["TOWPATH_POINTER"])


class State:
    """What is live: swapped whole, so that a request sees the old or the new."""

    pointer: dict[str, Any] = {}  # noqa: RUF012 (one service per process)
    model: dict[str, float] = {}  # noqa: RUF012 (as above)
    error: str | None = None


def follow() -> None:
    """Load whatever the pointer says; keep the old on any error."""
    seen = 0
    until = time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        if POINTER.exists():
            pointer = json.loads(POINTER.read_text())
            if pointer["generation"] != seen:
                seen = pointer["generation"]
                try:
                    model = json.loads(Path(pointer["lanes"]["champion"]["path"], "model.json").read_text())
                    State.model, State.pointer, State.error = {"bias": model["bias"]}, pointer, None
                except (OSError, ValueError, KeyError) as error:
                    State.error = f"generation {seen} cannot be loaded: {error!r}"
                workers = POINTER.parent / "workers"
                workers.mkdir(exist_ok=True)
                (workers / f"{os.getpid()}.json").write_text("{}")
        time.sleep(0.02)
    os._exit(0)


class Handler(BaseHTTPRequestHandler):
    """The two routes that the reconciler asks."""

    def do_GET(self) -> None:
        """Say who serves."""
        lanes = {name: lane["release"] for name, lane in State.pointer.get("lanes", {}).items()}
        generation = State.pointer.get("generation", 0)
        wanted = json.loads(POINTER.read_text())
        self._answer({
            "model": wanted["model"], "environment": wanted["environment"], "release": lanes.get("champion"),
            "lanes": lanes, "generation": generation, "converged": generation == wanted["generation"],
            "workers": {str(os.getpid()): generation}, "error": State.error,
        })  # fmt: skip

    def do_POST(self) -> None:
        """Answer rows with a logistic function of their one column."""
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
        found = [1 / (1 + math.exp(-(row["x"] + State.model["bias"]))) for row in rows]
        predictions = [{"label": str(p >= 0.5).lower(), "probability": p} for p in found]
        self._answer({"release": State.pointer["lanes"]["champion"]["release"], "predictions": predictions})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
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
