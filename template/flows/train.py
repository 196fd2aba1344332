"""Train: from rows to a registered release. Every line is a Prefect task; rearrange them as you like."""

from datetime import datetime

from prefect import flow
from towpath_flows import stages


@flow(name="train", persist_result=True, result_serializer="json")
def train(
    since: datetime | None = None, until: datetime | None = None, sample: int | None = None, again: bool = False
) -> str | None:
    """Return the id of the release that the rows between `since` and `until` gave (default: all of model.yaml's).

    Where nothing has changed since a release, that is it, and nothing is trained, unless `again`. With `sample`
    rehearse on so many rows and register nothing.
    """
    project = stages.open_project(sample=sample)
    table = stages.load(project, since, until)
    if not again and (release := stages.already_trained(project, table)):
        return release
    validated = stages.validate(project, table)
    parts = stages.split(project, validated)
    tuned = stages.tune(project, parts)
    model = stages.fit(project, parts, tuned)
    exported = stages.export(project, model, parts)
    evidence = [
        stages.examine_data(project, validated, parts),
        stages.prove_parity(exported),
        stages.evaluate(project, exported, parts),
        stages.compare(project, exported, parts),
        stages.check_behaviour(project, exported, parts),
    ]
    stages.write_card(project, table, model, exported, parts, evidence)
    return stages.register(project, table, model, exported, evidence)


if __name__ == "__main__":
    with stages.local_api():
        train()
