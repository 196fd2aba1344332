"""Whether model.yaml still says something that Towpath understands."""

from pathlib import Path

from towpath_flows.spec import load_spec

MODEL = load_spec(Path(__file__).parents[1])


def test_the_answer_is_not_among_the_features() -> None:
    """The departure delay, known only once it is too late, stays out of the model."""
    assert "dep_delay" in MODEL.exclude


def test_something_can_refuse_a_release() -> None:
    """The model has gates: a repository without any lets everything through."""
    assert MODEL.gates
