"""`towpath validate`."""

from dataclasses import asdict

from towpath_ci.console import emit, mark, plain, say, table, working
from towpath_ci.lazy import verb
from towpath_ci.options import AsJson, Since, Until
from towpath_ci.workspace import Workspace
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.evidence import Finding, Verdict

app = verb()


@app.command(epilog="Example: towpath validate --since 2026-03-01")
def validate(*, since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Check the training data: its schema, leaks, copies.

    These are the checks of every row that training begins with, and the rules under `quality` in model.yaml. Exits
    with 9 when the data may not be trained on.
    """
    from towpath_flows.data import contract, past, quality, sources, splits  # noqa: PLC0415 (heavy)
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)

    project = Project.open(Workspace.here().root)
    with working("Reading and checking"):
        rows = sources.load(project, since=since, until=until)
        validated = contract.examine(project, rows)
        findings = list(validated.report.findings)
        if not validated.report.problems:
            parts = splits.split(project, validated.frame)
            findings += quality.inspect(project, validated, parts, past=past.last_release(project)).findings
    if as_json:
        problems = [asdict(problem) for problem in validated.report.problems]
        told = {"source": rows.source, "rows": len(rows.frame), "problems": problems}
        emit(told | {"findings": [finding.plain() for finding in findings]})
    else:
        _tell(rows.source, findings)
    validated.report.require(project.spec.schema_)
    wrong = [finding for finding in findings if finding.verdict is not Verdict.PASS]
    if wrong:
        raise DataContractError(
            f"{rows.source} may not be trained on", why="\n".join(finding.message for finding in wrong)
        )


def _tell(source: str, findings: list[Finding]) -> None:
    rows = [(plain(finding.gate), mark(finding.verdict.value), plain(finding.message)) for finding in findings]
    table(source, ("check", "verdict", "found"), rows)
    if all(finding.verdict is Verdict.PASS for finding in findings):
        say(f"\n{mark('ok')} It may be trained on.")
