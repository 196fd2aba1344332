"""The signature tells what training saw, and which columns are nobody's to read."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from towpath_flows.data import Splits
from towpath_flows.evaluation.scoring import Scorer
from towpath_flows.project import Project
from towpath_flows.training import Exported, Features
from towpath_flows.training.seen import MOST_CATEGORIES, with_seen
from towpath_gitops.records.signature import Column, Signature

New = Callable[..., Project]


def test_ranges_and_texts_of_the_learned_rows_are_kept(exported: Exported, splits: Splits) -> None:
    """Each number's range and each text's values, as the rows of train and validation hold them; truths need none."""
    seen = {column.name: column.seen for column in exported.signature.inputs}
    learned = splits.development
    assert seen["amount"]
    assert seen["amount"].minimum == learned["amount"].min()
    assert seen["amount"].maximum == learned["amount"].max()
    assert seen["coupon"]
    assert seen["coupon"].categories == ("SPRING", "VIP")
    assert seen["seller"]
    assert set(seen["seller"].categories or ()) == set(learned["seller"])
    assert seen["express"] is None


def test_deciles_cut_the_answers_to_unlearned_rows_in_tenths(exported: Exported, splits: Splits) -> None:
    """As many of the test rows' answers lie below each limit as it says."""
    answers = Scorer.open(exported.folder).answers(splits.test)[:, 0]
    deciles = exported.signature.deciles
    assert deciles
    shares = [np.mean(answers <= limit) for limit in deciles]
    assert shares == pytest.approx([tenth / 10 for tenth in range(1, 10)], abs=2 / len(answers))


def test_the_artifact_says_what_the_export_says(exported: Exported) -> None:
    """The signature beside the graph is the one that is registered."""
    written = Signature.model_validate_json((Path(exported.folder) / "signature.json").read_bytes())
    assert written == exported.signature
    assert written.sensitive == ()


def test_nothing_is_told_of_a_sensitive_column(new_project: New, splits: Splits) -> None:
    """Neither its range nor its texts; that it is sensitive is told, also of a column that is no input."""
    project = new_project(spec=("orders.parquet}\n", "orders.parquet}\n  sensitive: [seller, order_id]\n"))
    signature = Features.of(project, splits.train, splits.target).signature
    told = with_seen(signature, splits.development, np.zeros((4, 1)))
    assert told.sensitive == ("order_id", "seller")
    assert next(column for column in told.inputs if column.name == "seller").seen is None
    assert "seller 1" not in json.dumps(told.plain())


@pytest.mark.parametrize(("sensitive", "kept"), [(None, False), ((), True)])
def test_while_nobody_has_said_what_is_sensitive_nothing_is_told(
    sensitive: tuple[str, ...] | None,
    kept: bool,  # noqa: FBT001 (a case)
) -> None:
    """A signature from before the question was asked may hold any secret."""
    signature = Signature(task="regression", target="y", inputs=(Column(name="a", type="number"),), sensitive=sensitive)
    told = with_seen(signature, pd.DataFrame({"a": [1.0, 2.0]}), np.array([[1.0], [2.0]]))
    assert (told.inputs[0].seen is not None) is kept


@pytest.mark.parametrize(
    ("texts", "listed"), [(0, False), (1, True), (MOST_CATEGORIES, True), (MOST_CATEGORIES + 1, False)]
)
def test_names_of_things_are_no_categories(texts: int, listed: bool) -> None:  # noqa: FBT001 (a case)
    """A column with more texts than that is not listed, nor one that is always missing."""
    column = Column(name="a", type="string", nullable=True)
    signature = Signature(task="regression", target="y", inputs=(column,), sensitive=())
    rows = pd.DataFrame({"a": ["", *(f"name {number}" for number in range(texts))]}, dtype=object)
    seen = with_seen(signature, rows, np.zeros((1, 1))).inputs[0].seen
    assert (seen is not None) is listed
    assert seen is None or len(seen.categories or ()) == texts


def test_several_classes_have_no_deciles() -> None:
    """There is no one number to cut in tenths."""
    column = Column(name="a", type="number")
    signature = Signature(task="multiclass", target="y", classes=("a", "b", "c"), inputs=(column,), sensitive=())
    assert with_seen(signature, pd.DataFrame({"a": [1.0]}), np.full((1, 3), 1 / 3)).deciles is None
