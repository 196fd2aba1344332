"""`towpath load`."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from towpath_ci.console import Progress, emit, next_step, plain, say, table
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Selector
from towpath_ci.verbs.show import tell_evidence
from towpath_ci.workspace import Workspace
from towpath_gitops.errors import RefusedError
from towpath_gitops.promotion.loading import LOAD, loads
from towpath_gitops.records.evidence import Evidence, Verdict
from towpath_gitops.records.figures import read
from towpath_gitops.records.load import MOST_ROUNDS, LoadFigures
from towpath_gitops.records.load_gates import FEWEST_ROUNDS

app = verb()

Rounds = Annotated[
    int | None,
    typer.Option("--rounds", min=FEWEST_ROUNDS, max=MOST_ROUNDS, help="How many; by default as model.yaml says."),
]
Paced = Annotated[float | None, typer.Option("--paced", min=0.2, help="Seconds of a turn at the promised rate.")]
Full = Annotated[float | None, typer.Option("--full", min=0.2, help="Seconds of a turn as fast as connections allow.")]
ShapeName = Annotated[
    Literal["steady", "ramp", "spike", "soak"] | None, typer.Option("--shape", help="How the rate goes.")
]
Journal = Annotated[
    Path | None,
    typer.Option(
        "--journal", exists=True, file_okay=False, help="Folder of Parquet files to send instead of the sample."
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="IMAGE",
        help="Drive it in this image of it, by digest, with podman: registry/name@sha256:…, or newest.",
    ),
]


@app.command(epilog="Example: towpath load latest --rounds 20")
def load(  # noqa: PLR0913 (options of the command line, always named)
    release: Selector,
    *,
    rounds: Rounds = None,
    paced: Paced = None,
    full: Full = None,
    shape: ShapeName = None,
    journal: Journal = None,
    image: Image = None,
    as_json: AsJson = False,
) -> None:
    """Drive a release and today's champion side by side; judge latency and throughput.

    Both serve on this machine, the champion twice: what differs between its two runs is the noise. They take turns in
    rounds. With --image the release serves from its image, and so does the champion, if main declares one of it; the
    evidence then names both digests. Exits with 7 when a gate fails, or needs more rounds. The evidence is published
    either way.
    """
    from towpath_flows.load import LoadTest, report_folder  # noqa: PLC0415 (imports pandas and the engines)
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)

    workspace = Workspace.here()
    project = Project.open(workspace.root)
    asked = {"rounds": rounds, "paced": _seconds(paced), "full": _seconds(full), "shape": shape}
    how = _changed(project.spec.serve.load, asked)
    with Progress("Load") as progress:
        progress.step("Starting the services")
        found = workspace.find(release)
        test = LoadTest(project, found, how, journal, image)
        evidence = test.run(lambda number: progress.step(f"Round {number} of {how.rounds}"))
    if as_json:
        emit(evidence.plain() | {"verdict": evidence.verdict})
    else:
        _tell(evidence, report_folder(workspace.root, found))
        if evidence.verdict is Verdict.PASS:
            next_step(f"towpath promote {found.short_id} --to {workspace.environments[0]}")
    if evidence.verdict is not Verdict.PASS:
        red = [finding for finding in evidence.findings if finding.verdict is not Verdict.PASS]
        raise RefusedError(
            f"{found} does not pass its load test: {evidence.verdict}",
            why="\n".join(f"  - {finding.gate}: {finding.verdict}: {finding.message}" for finding in red),
            hint=_hint(evidence, f"{found.short_id}{f' --image {image}' if image else ''}", how.rounds),
        )


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _changed(how: Any, asked: dict[str, Any]) -> Any:  # noqa: ANN401 (a LoadSpec, which is imported late)
    """Return the settings of model.yaml with what the command line says instead, checked like those."""
    given = {name: value for name, value in asked.items() if value is not None}
    return type(how).model_validate({**dict(how), **given})


def _tell(evidence: Evidence, folder: Path) -> None:
    figures = read(evidence, LoadFigures)
    tell_evidence({evidence.kind: evidence})
    table("", LOAD, [tuple(plain(cell) for cell in row) for row in loads(figures)])
    say(f"Locust's own report: {plain(os.path.relpath(folder / 'report.html'))}")


def _hint(evidence: Evidence, what: str, rounds: int) -> str:
    if evidence.verdict is Verdict.INCONCLUSIVE:
        return f"Let nothing else run on this machine, and take more rounds: towpath load {what} --rounds {4 * rounds}"
    return "Make the model smaller or the features cheaper, or change what `serve` in model.yaml promises."
