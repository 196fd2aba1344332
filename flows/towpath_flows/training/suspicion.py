"""Features that look wrong: they say nothing, say the same as another, or say everything about each single row."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_flows.evaluation.assessment import one_line
from towpath_flows.training.features import Features
from towpath_flows.training_spec import FeatureChecks, Strictness
from towpath_gitops.records.evidence import Finding, Verdict

DISTINCT: Final = 0.5  # share of the rows from which different texts are no categories any more
_FEWEST: Final = 100  # different texts below which nobody is alarmed
_PER_COLUMN, _BESIDES = 50, 500  # features for each column, and at all, that nobody is alarmed about
_TOLD: Final = 5  # features that a message names


def suspect(
    checks: FeatureChecks,
    features: Features,
    x: pd.DataFrame,
    pipeline: Any,  # noqa: ANN401 (scikit-learn is not typed)
    matrix: NDArray[np.float32],
) -> tuple[Finding, ...]:
    """Return what is odd about the inputs `x` and the features `matrix` (n, m) that the fitted `pipeline` made of them.

    A feature that is missing everywhere is not called constant as well, nor a constant one a duplicate.
    """
    names = _names(pipeline, matrix.shape[1])
    missing: NDArray[np.bool_] = np.asarray(np.isnan(matrix).all(axis=0))
    constant: NDArray[np.bool_] = np.asarray(~missing & (matrix == matrix[:1]).all(axis=0))
    same = dict(_duplicates(matrix, names, ~missing & ~constant))
    many = list(_exploding(features, x, matrix.shape[1]))
    return (
        _finding("feature constant", checks.constant, _where(names, constant), "the same in every row"),
        _finding("feature missing", checks.missing, _where(names, missing), "missing in every row"),
        _finding("feature duplicate", checks.duplicate, [f"{one} of {other}" for one, other in same.items()], "copied"),
        _finding("feature cardinality", checks.cardinality, many, "no categories: name such columns under `exclude`"),
    )


def _names(pipeline: Any, width: int) -> list[str]:  # noqa: ANN401 (as above)
    """Return the features' names; where the owner's transformer gives none, their places."""
    try:
        found = [str(name) for name in pipeline.get_feature_names_out()]
    except Exception:  # noqa: BLE001 (an owner's transformer may lack the method, or fail in it in any way)
        found = []
    return found if len(found) == width else [f"feature {place}" for place in range(width)]


def _where(names: list[str], flags: NDArray[np.bool_]) -> list[str]:
    return [name for name, flag in zip(names, flags, strict=True) if flag]


def _duplicates(matrix: NDArray[np.float32], names: list[str], asked: NDArray[np.bool_]) -> Iterator[tuple[str, str]]:
    seen: dict[bytes, str] = {}
    for place in np.flatnonzero(asked):
        column = np.ascontiguousarray(matrix[:, place]) + np.float32(0)  # -0 is 0
        digest = blake2b(column.tobytes(), digest_size=16).digest()
        first = seen.setdefault(digest, names[place])
        if first != names[place]:
            yield names[place], first


def _exploding(features: Features, x: pd.DataFrame, width: int) -> Iterator[str]:
    for column in features.signature.inputs:
        if column.type == "string" and column.categories is None:
            different = x[column.name].nunique()
            if different >= _FEWEST and different > DISTINCT * len(x):
                yield f"{column.name} ({different:,} different in {len(x):,} rows)"
    inputs = len(features.signature.inputs)
    if width > _PER_COLUMN * inputs + _BESIDES:
        yield f"{inputs} columns became {width:,} features"


def _finding(gate: str, strictness: Strictness, found: list[str], what: str) -> Finding:
    if not found:
        return Finding(gate=gate, verdict=Verdict.PASS, message="There is none", measured=0)
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    message = f"{', '.join(found[:_TOLD])}{more}: {what}"
    verdict = Verdict.FAIL if strictness == "refuse" else Verdict.PASS
    return Finding(gate=gate, verdict=verdict, message=one_line(message), measured=len(found), limit=0)
