"""Whether the files that people edit still say something that Towpath understands."""

from pathlib import Path

from towpath_flows.spec import load_spec
from towpath_gitops.layout import environment_path
from towpath_gitops.records.deployment import parse_deployment
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import Policy

ROOT = Path(__file__).parents[1]
POLICY = parse_yaml((ROOT / "gitops/policy.yaml").read_text(), Policy, source="gitops/policy.yaml")
MODEL = load_spec(ROOT)


def test_every_environment_has_a_file_that_names_it() -> None:
    """Each environment of the policy declares this model, in a file at the place where promotions look for it."""
    for environment in POLICY.environments:
        path = environment_path(environment.name, MODEL.name)
        deployment = parse_deployment((ROOT / path).read_text(), source=path)
        assert (deployment.model, deployment.environment) == (MODEL.name, environment.name)


def test_the_answer_is_not_among_the_features() -> None:
    """The departure delay, known only once it is too late, stays out of the model."""
    assert "dep_delay" in MODEL.exclude


def test_something_can_refuse_a_release() -> None:
    """The model has gates: a repository without any lets everything through."""
    assert MODEL.gates
