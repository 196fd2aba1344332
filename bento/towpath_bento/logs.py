"""What a service prints, as one JSON object to a line, each with the request and the trace that it is about."""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from towpath_bento.identity import CURRENT, REQUEST_KEY

ACCESS: Final = logging.getLogger("towpath.access")  # a line for each request, where the owner asks for it

# https://www.w3.org/TR/trace-context/#traceparent-header, version 00; later versions begin alike
_PARENT: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
_FIELDS: Final = "fields"  # of a record: what the line says besides its words


def say_as_json() -> None:
    """Let everything that this process logs, BentoML's own lines too, be JSON on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    for name in list(root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = logger.propagate or name.startswith("bentoml")
    logging.captureWarnings(capture=True)


def tell_request(scope: MutableMapping[str, Any], status: int, took_s: float, **fields: object) -> None:
    """Log a request that was answered."""
    told = {"method": scope["method"], "path": scope["path"], "status": status, "took_ms": round(took_s * 1000, 3)}
    words = f"{scope['method']} {scope['path']} {status}"
    ACCESS.info(words, extra={_FIELDS: {**told, **fields}})


class JsonLines(logging.Formatter):
    """One JSON object to a line: time (UTC), level, logger, message, pid; request and trace; an exception's text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": os.getpid(),
            **_context(CURRENT.get()),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def _context(scope: MutableMapping[str, Any] | None) -> dict[str, str]:
    """Return the request's id, and the trace that its caller says it is part of."""
    if scope is None:
        return {}
    given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
    found = _PARENT.fullmatch(given)
    trace = {"trace_id": found[1].decode(), "span_id": found[2].decode()} if found and int(found[1], 16) else {}
    return {"request_id": scope[REQUEST_KEY], **trace}
