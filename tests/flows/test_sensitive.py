"""No page, log or piece of evidence shows a value of a column that the owner calls sensitive."""

import json
import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from towpath_flows import stages
from towpath_flows.data.target import Target
from towpath_flows.project import Project
from towpath_flows.training import TuneResult
from towpath_flows.training.trainers import TRAINERS
from towpath_gitops.errors import DataContractError

COUNTRIES = ["Xanadu", "Yoknapatawpha", "Zembla"]
AMOUNT = 31.4159
SECRETS = [*COUNTRIES, str(AMOUNT), "Mata Hari"]
MARKED = """orders.parquet}
  sensitive: [country, amount, seller]
"""


def secretive(new_project: Callable[..., Project], orders: pd.DataFrame) -> Project:
    """Return a shop that keeps three features to itself, judges slices of one of them, and has copies in its rows."""
    table = orders.assign(
        country=orders["country"].map(dict(zip(["DE", "FR", "IT"], COUNTRIES, strict=True))),
        seller=np.where(orders.index % 3 == 0, "Mata Hari", orders["seller"]),
        amount=orders["amount"].where(orders.index % 7 > 0, AMOUNT),
    )
    project = new_project(
        spec=("orders.parquet}\n", MARKED), schema=('isin=["DE", "FR", "IT"]', f"isin={COUNTRIES}"), table=table
    )
    path = project.root / "model.yaml"
    gates = "  - {metric: roc_auc, slice: country, gap: 0.01}\n  - {metric: roc_auc, slice: seller, gap: 0.01}\n"
    text = path.read_text().replace("test: 0.2", "test: 0.5")
    path.write_text(text + gates + "  - {check: behaviour}\n")
    return Project.open(project.root)


def test_nothing_that_is_kept_of_a_training_shows_them(
    new_project: Callable[..., Project], orders: pd.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    """Evidence with all its figures, the card in both forms, importance, the signature's examples and the log."""
    caplog.set_level(logging.INFO)
    project = secretive(new_project, orders)
    table = stages.load.fn(project)
    validated = stages.validate.fn(project, table)
    parts = stages.split.fn(project, validated)
    model = stages.fit.fn(project, parts, TuneResult("xgboost", TRAINERS["xgboost"].defaults(), None, ()))
    exported = stages.export.fn(project, model, parts)
    found = [
        stages.examine_data.fn(project, validated, parts),
        stages.prove_parity.fn(exported),
        stages.evaluate.fn(project, exported, parts),
        stages.check_behaviour.fn(project, exported, parts),
    ]
    page = stages.write_card.fn(project, table, model, exported, parts, found)
    shown = {
        "evidence": json.dumps([[each.details, [f.plain() for f in each.findings]] for each in found if each]),
        "card": page.read_text() + page.with_name("card.md").read_text(),
        "importance": page.with_name("importance.json").read_text(),
        "log": caplog.text,
    }
    assert "country = group" in shown["evidence"]
    assert [(name, secret) for name, text in shown.items() for secret in SECRETS if secret in text] == []


def test_an_unknown_value_of_a_sensitive_target_is_not_told(project: Project) -> None:
    """Only in which row it stands."""
    target = Target("returned", "multiclass", ("a", "b", "c"), sensitive=True)
    with pytest.raises(DataContractError, match="Row 1") as refused:
        target.encode(pd.Series(["a", "Mata Hari"]))
    assert "Hari" not in str(refused.value)
    assert not Target.of(project.spec, pd.DataFrame({"returned": [True, False]})).sensitive
