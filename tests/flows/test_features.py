"""The signature follows from the schema; rows become what is served."""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder

from towpath_flows.data import Splits, load, split, validate
from towpath_flows.project import Project
from towpath_flows.training import Features, Model
from towpath_flows.training.features import default_transformer, engine_columns
from towpath_flows.training.preparation import prepare
from towpath_gitops.errors import DataContractError, InvalidFileError, TrainingError

New = Callable[..., Project]


@pytest.fixture
def features(shop: Project, splits: Splits) -> Features:
    """Return the shop's features."""
    return Features.of(shop, splits.train, splits.target)


def test_the_signature_is_derived_from_the_schema(features: Features) -> None:
    """Types, gaps, limits, closed lists and examples come from the schema; what is kept back is no input."""
    columns = {column.name: column for column in features.signature.inputs}
    assert list(columns) == ["amount", "items", "express", "country", "seller", "coupon"]
    assert [column.type for column in columns.values()] == [
        "number",
        "integer",
        "boolean",
        "string",
        "string",
        "string",
    ]
    assert columns["amount"].nullable
    assert not columns["seller"].nullable
    assert (columns["items"].minimum, columns["items"].maximum) == (1, 50)
    assert columns["amount"].minimum == 0
    assert columns["country"].categories == ("DE", "FR", "IT")
    assert columns["seller"].categories is None
    assert isinstance(columns["express"].example, bool)
    assert (features.signature.classes, features.signature.threshold) == (("false", "true"), 0.5)
    assert features.signature.entity == "order_id"


def test_open_limits_of_whole_numbers_are_closed(new_project: New, splits: Splits) -> None:
    """“More than 0 items” is told to callers as at least 1."""
    project = new_project(schema=("ge=1, le=50", "gt=0, lt=50"))
    (items,) = (
        column
        for column in Features.of(project, splits.train, splits.target).signature.inputs
        if column.name == "items"
    )
    assert (items.minimum, items.maximum) == (1, 49)


def test_limits_between_whole_numbers_and_of_text(new_project: New, splits: Splits) -> None:
    """More than 0.5 begins at 1, less than 50.5 ends at 50; where texts begin in the alphabet is no number."""
    fields = "items: int = pa.Field(gt=0.5, lt=50.5)\n    express: bool\n    country: str = pa.Field(ge='A')"
    old = 'items: int = pa.Field(ge=1, le=50)\n    express: bool\n    country: str = pa.Field(isin=["DE", "FR", "IT"])'
    features = Features.of(new_project(schema=(old, fields)), splits.train, splits.target)
    columns = {column.name: column for column in features.signature.inputs}
    assert (columns["items"].minimum, columns["items"].maximum) == (1, 50)
    assert (columns["country"].minimum, columns["country"].maximum) == (None, None)


def test_rows_become_what_is_served(features: Features, splits: Splits) -> None:
    """Numbers are float32 with NaN for missing, strings are str with an empty one; the target is a code."""
    x, y = features.prepare(splits.train)
    assert {str(x[name].dtype) for name in ("amount", "items", "express")} == {"float32"}
    assert all(type(value) is str for name in ("country", "seller", "coupon") for value in x[name])
    assert (x["coupon"] == "").sum() == splits.train["coupon"].isna().sum()
    assert np.isnan(x["amount"]).sum() == splits.train["amount"].isna().sum()
    assert y.tolist() == splits.train["returned"].astype(int).tolist()
    assert {column.shape for column in engine_columns(x).values()} == {(len(x), 1)}


def test_a_registered_signature_prepares_new_rows(model: Model, splits: Splits, features: Features) -> None:
    """Features made from a signature alone prepare rows as those from the project do."""
    assert Features(model.signature).x(splits.test).equals(features.x(splits.test))


def test_a_lacking_column_is_empty_or_refused(features: Features, splits: Splits) -> None:
    """A column that may be missing may be absent; another may not."""
    assert np.isnan(features.x(splits.test.drop(columns="amount"))["amount"]).all()
    assert set(features.x(splits.test.drop(columns="coupon"))["coupon"]) == {""}
    with pytest.raises(DataContractError, match="lack items, seller"):
        features.x(splits.test.drop(columns=["items", "seller"]))


@pytest.mark.parametrize(("column", "values"), [("items", "many"), ("seller", 7), ("amount", "a lot")])
def test_a_column_of_another_type_is_refused(features: Features, splits: Splits, column: str, values: object) -> None:
    """Rows of a schema in which a column has become something else are not the model's to answer."""
    with pytest.raises(DataContractError, match=f"takes {column} as"):
        features.x(splits.test.assign(**{column: values}))


def test_nullable_integers_and_booleans_keep_their_gaps(features: Features, splits: Splits) -> None:
    """Pandas' nullable types arrive as float32 with NaN."""
    gaps = splits.test.astype({"items": "Int64", "express": "boolean"})
    gaps.loc[0, ["items", "express"]] = pd.NA
    x = features.x(gaps)
    assert np.isnan(x["items"].iloc[0])
    assert np.isnan(x["express"].iloc[0])
    assert x["items"].dtype == np.float32


def test_a_moment_is_no_feature(new_project: New, orders: pd.DataFrame) -> None:
    """A moment among the features is refused, with the way out."""
    project = new_project(
        schema=("express: bool", "express: bool\n    paid_at: pd.Timestamp"), table=orders.assign(paid_at="2026-01-01")
    )
    frame = validate(project, load(project)).frame
    parts = split(project, frame)
    with pytest.raises(InvalidFileError, match="paid_at") as caught:
        Features.of(project, parts.train, parts.target)
    assert "exclude" in caught.value.hint


def test_words_get_columns_and_long_lists_get_codes(features: Features, splits: Splits) -> None:
    """Few values are one column each, many are numbered; unseen ones are none and -1."""
    x = features.x(splits.train)
    transformer = default_transformer(features, x).fit(x)
    assert [name for name, _, _ in transformer.transformers_] == ["numbers", "words", "codes"]
    assert isinstance(transformer.named_transformers_["words"], OneHotEncoder)
    row = x.iloc[:1].assign(country="XX", coupon="NEW", seller="nobody")
    assert transformer.transform(row)[0, 3:].tolist() == [0.0] * 6 + [-1.0]


def test_the_owners_transformer_is_used(new_project: New, splits: Splits) -> None:
    """A transformer from the owner's code takes the place of the default one; its failure is told as such."""
    sys.modules.pop("shop.features", None)
    project = new_project(spec=("split:", "features: shop.features:build\nsplit:"))
    code = project.root / "src" / "shop" / "features.py"
    code.write_text(
        "from sklearn.compose import ColumnTransformer\n\n\n"
        "def build():\n    return ColumnTransformer([('numbers', 'passthrough', ['amount', 'items'])])\n"
        "\n\ndef wrong():\n    return ColumnTransformer([('numbers', 'passthrough', ['amounts'])])\n"
    )
    features = Features.of(project, splits.train, splits.target)
    assert prepare(project, features, splits.train).train.x.shape == (900, 2)
    project = Project(project.root, project.spec.model_copy(update={"features": "shop.features:wrong"}))
    with pytest.raises(TrainingError, match="features cannot be made"):
        prepare(project, features, splits.train)


def test_callers_see_no_value_of_a_sensitive_column(new_project: New, splits: Splits) -> None:
    """The signature, which every caller may read, gives no example of a column that the owner calls sensitive."""
    project = new_project(spec=("orders.parquet}\n", "orders.parquet}\n  sensitive: [amount]\n"))
    examples = {
        column.name: column.example for column in Features.of(project, splits.train, splits.target).signature.inputs
    }
    assert examples["amount"] is None
    assert examples["items"] is not None
