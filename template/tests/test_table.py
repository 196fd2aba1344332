"""Whether model.yaml and schema.py, which `towpath infer` writes and you edit, fit each other."""

from pathlib import Path

import pytest
from towpath_flows.data.quality import feature_names
from towpath_flows.project import Project

ROOT = Path(__file__).parents[1]
inferred = pytest.mark.skipif(
    not (ROOT / "model.yaml").exists(), reason="there is no model.yaml: run towpath infer FILE --target COLUMN"
)


@inferred
def test_the_schema_has_every_column_that_the_model_names() -> None:
    """The schema can be imported, holds the columns of model.yaml, and leaves some to learn from."""
    assert feature_names(Project.open(ROOT))


@inferred
def test_something_can_refuse_a_release() -> None:
    """The model has gates: a repository without any lets everything through."""
    assert Project.open(ROOT).spec.gates
