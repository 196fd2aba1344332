"""The least that a Python server can do: decode with msgspec, ask onnxruntime, encode; no checks, no metrics."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

FOLDER = Path(os.environ["BENCH_MODEL"])
NAMES = [f"f{number}" for number in range(30)]
Row = msgspec.defstruct("Row", [(name, float | None, None) for name in NAMES])
Body = msgspec.defstruct("Body", [("rows", list[Row])])  # type: ignore[valid-type]  # made just above

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(FOLDER / "bare.onnx", options, providers=["CPUExecutionProvider"])
decoder = msgspec.json.Decoder(Body)
encoder = msgspec.json.Encoder()


def answer(body: bytes) -> bytes:
    """Return the answer to the bytes of a request."""
    rows = [msgspec.structs.astuple(row) for row in decoder.decode(body).rows]
    values = session.run(None, {"x": np.array(rows, np.float32)})[1]
    return encoder.encode({"predictions": values[:, 1].tolist()})


async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 (ASGI)
    """Answer every request with predictions."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    content = answer(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
