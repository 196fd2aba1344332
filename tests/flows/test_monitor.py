import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from towpath_flows.data import Table, load
from towpath_flows.monitoring.monitor import Report, watch
from towpath_flows.monitoring.report import as_markdown, write_report
from towpath_flows.project import Project
from towpath_gitops.errors import DataContractError
from towpath_gitops.records.release import Release

LATER = datetime(2027, 1, 1, tzinfo=UTC)
Change = Callable[[pd.DataFrame], dict[str, Any]]


def _watch(project: Project, release: Release, **columns: Any) -> Report:  # noqa: ANN401 (columns of any type)
    table = load(project)
    frame = table.frame.assign(**columns)
    return watch(project, release, replace(table, frame=frame), now=LATER)


def test_the_rows_of_training_have_not_drifted(published: Project, release: Release) -> None:
    """The very rows that made the sample do not drift from it, and accuracy is not worse."""
    report = _watch(published, release)
    assert report.outcome == "fine"
    assert report.drifted == ()
    assert report.performance
    assert report.performance.rows == 1500
    assert "Nothing needs doing" in report.headline


def test_a_moved_column_is_named_with_what_it_costs(published: Project, release: Release) -> None:
    """Amounts that became ten times larger have drifted; the sentence says so, and what to do."""
    report = _watch(published, release, amount=lambda frame: frame["amount"] * 10)
    assert "amount" in {column.column for column in report.drifted}
    assert "amount" in report.headline
    assert report.outcome in {"drifted", "costly"}


def test_lost_accuracy_is_told(published: Project, release: Release) -> None:
    """Labels that no longer follow the columns cost accuracy, beyond chance: train again."""
    shuffled = load(published).frame["returned"].sample(frac=1, random_state=0).to_numpy()
    report = _watch(published, release, returned=shuffled)
    assert report.outcome == "costly"
    assert report.performance
    assert report.performance.loss.low > 0
    assert "train again" in report.headline


def test_without_labels_only_drift_is_told(published: Project, release: Release) -> None:
    """Before labels have arrived nothing is claimed about accuracy, and their absence is no broken rule."""
    report = _watch(published, release, returned=None)
    assert (report.outcome, report.performance, report.problems) == ("unknown", None, ())
    assert "too few labels" in report.headline


def test_labels_count_after_their_delay(published: Project, release: Release) -> None:
    """Rows younger than the delay of labels are left out of the measurement."""
    table = load(published)
    now = (table.frame["ordered_at"].min() + pd.Timedelta(days=11)).to_pydatetime()
    report = watch(published, release, table, now=now)
    assert report.performance
    assert report.performance.rows == 241


def test_broken_rules_are_reported_not_fatal(published: Project, release: Release) -> None:
    """A value that the schema forbids is told of; the rest is compared all the same."""
    report = _watch(published, release, items=lambda frame: frame["items"] + 100)
    assert any("items" in str(problem) for problem in report.problems)
    assert "rules of the schema are broken" in report.headline
    assert len(report.columns) == 7


def test_a_missing_column_is_an_error(published: Project, release: Release) -> None:
    """Without a column that the model needs there is nothing to ask it."""
    table = load(published)
    with pytest.raises(DataContractError, match="lack items"):
        watch(published, release, replace(table, frame=table.frame.drop(columns="items")), now=LATER)


def test_the_report_is_written_for_people_and_machines(published: Project, release: Release) -> None:
    """JSON, Markdown and one page with pictures, in a folder named by the time."""
    report = _watch(published, release, amount=lambda frame: frame["amount"] * 10)
    folder = write_report(published.root, report)
    assert folder.parent == published.root / ".towpath" / "monitor"
    written = json.loads((folder / "report.json").read_text())
    assert written["release"]["id"] == release.id
    assert {column["column"] for column in written["columns"] if column["drifted"]} >= {"amount"}
    assert (folder / "report.html").read_text().count("data:image/svg+xml") == 8
    assert as_markdown(report) == (folder / "report.md").read_text()


def test_the_values_of_a_sensitive_column_are_not_drawn(published: Project, release: Release) -> None:
    """That it drifted is told, and by how much."""
    data = published.spec.data.model_copy(update={"sensitive": ("seller",)})
    project = Project(published.root, published.spec.model_copy(update={"data": data}))
    report = _watch(project, release, seller="Mata Hari")
    assert "seller" in {column.column for column in report.drifted}
    page = (write_report(project.root, report) / "report.html").read_text()
    assert page.count("data:image/svg+xml") == 7
    assert "Hari" not in page


def test_a_window_of_one_row_is_answered(published: Project, release: Release) -> None:
    """A single row proves nothing and breaks nothing."""
    table: Table = load(published)
    report = watch(published, release, replace(table, frame=table.frame.iloc[:1]), now=LATER)
    assert report.outcome == "unknown"
