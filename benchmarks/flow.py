"""What Prefect costs: the template's training flow beside the same stages called as plain functions.

Both rehearse on the drills' barges, so that nothing is registered; the server runs already. What a task costs alone is
told by flows of 1 and of 101 tasks that do nothing. Contestants take turns.
"""

import os
from contextlib import chdir
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

# Lines for the console would be measured as well, and `towpath train` shows none of Prefect's either.
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

from prefect import flow
from rounds import Contestant, Run, compare, head, timed

from towpath_ci.drills.barges import barges
from towpath_ci.drills.stage import Stage
from towpath_flows import stages
from towpath_flows.server import local_api, stop
from towpath_flows.tasks import stage

TRAIN = Path(__file__).parents[1] / "template" / "flows" / "train.py"
SAMPLE, ROUNDS = 600, 5
FEW, MANY = 1, 101
TASKS = 14  # of the template's flow, in a rehearsal
LIMIT_S, LIMIT_PER_TASK_S = 1.2, 0.006


def plain() -> None:
    """Do what the template's flow does, without Prefect."""
    project = stages.open_project.fn(sample=SAMPLE)
    table = stages.load.fn(project)
    stages.already_trained.fn(project, table)
    validated = stages.validate.fn(project, table)
    parts = stages.split.fn(project, validated)
    tuned = stages.tune.fn(project, parts)
    model = stages.fit.fn(project, parts, tuned)
    exported = stages.export.fn(project, model, parts)
    evidence = [
        stages.examine_data.fn(project, validated, parts),
        stages.prove_parity.fn(exported),
        stages.evaluate.fn(project, exported, parts),
        stages.compare.fn(project, exported, parts),
        stages.check_behaviour.fn(project, exported, parts),
    ]
    stages.write_card.fn(project, table, model, exported, parts, evidence)
    stages.register(project, table, model, exported, evidence)


def as_flow() -> None:
    """Run the template's flow."""
    spec = spec_from_file_location("template_train", TRAIN)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(TRAIN)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.train(sample=SAMPLE)


@stage("nothing")
def nothing() -> None:
    """Do nothing, as a stage."""


@flow(name="nothing")
def nothings(count: int) -> None:
    """Do nothing so many times."""
    for _ in range(count):
        nothing()


def kept(run: Run, into: list[float]) -> Run:
    """Return the run, its seconds kept besides."""

    def measured() -> float:
        into.append(run())
        return into[-1]

    return measured


def main() -> None:
    """Measure and print."""
    seconds: dict[str, list[float]] = {name: [] for name in ("flow", "plain", "few", "many")}
    with TemporaryDirectory() as folder:
        drilled = Stage(Path(folder))
        drilled.write(barges())
        try:
            with chdir(drilled.root), local_api(drilled.root):
                head()
                this = Contestant(f"train as a flow of {TASKS} tasks", kept(timed(as_flow), seconds["flow"]))
                that = Contestant("the same stages as functions", kept(timed(plain), seconds["plain"]))
                compare(this, that, ROUNDS)
                many = Contestant(f"a flow of {MANY} empty tasks", kept(timed(lambda: nothings(MANY)), seconds["many"]))
                few = Contestant(f"a flow of {FEW}", kept(timed(lambda: nothings(FEW)), seconds["few"]))
                compare(many, few, ROUNDS)
        finally:
            stop(drilled.root)
    costs = [one - other for one, other in zip(seconds["flow"][1:], seconds["plain"][1:], strict=True)]
    each = [(one - other) / (MANY - FEW) for one, other in zip(seconds["many"][1:], seconds["few"][1:], strict=True)]
    limit_s, limit_ms = LIMIT_S + TASKS * LIMIT_PER_TASK_S, 1e3 * LIMIT_PER_TASK_S
    print(
        f"\nPrefect costs {median(costs):.2f} s of a training, at least {min(costs):.2f} s; {limit_s:.2f} s is the aim."
    )
    print(
        f"Each task costs {1e3 * median(each):.1f} ms, at least {1e3 * min(each):.1f} ms; {limit_ms:.0f} ms is the aim."
    )


if __name__ == "__main__":
    main()
