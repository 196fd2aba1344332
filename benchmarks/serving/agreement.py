"""Servers are compared only where they agree: each must answer the same rows as the booster does."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from serving.load import Running

_ROWS = 100
_TOLERANCE = 1e-5


def agree(running: Sequence[Running]) -> None:
    """Ask each server the same hundred rows.

    Raises:
        AssertionError: one answers otherwise than the booster.
    """
    for server in running:
        values = np.array(_values(json.loads(server.ask(_ROWS))), dtype=float)
        expected = server.made.answers[:_ROWS]
        np.testing.assert_allclose(
            values.reshape(_ROWS, -1)[:, -1], expected, atol=_TOLERANCE, err_msg=server.peer.name
        )


def _values(answer: Any) -> Any:  # noqa: ANN401 (each has a form of its own)
    """Return the numbers in an answer of any of the forms."""
    if isinstance(answer, dict):
        if "outputs" in answer:
            return answer["outputs"][0]["data"]
        answer = answer["predictions"]
    return [each["probability"] if isinstance(each, dict) else each for each in answer]
