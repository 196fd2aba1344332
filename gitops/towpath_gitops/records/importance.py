"""`Importance`: which columns a model listens to, measured when it was trained and kept with it."""

from typing import Annotated

from pydantic import Field, PositiveInt

from towpath_gitops.records.base import ApiVersion, Line, Record

FILE = "importance.json"  # in the artifact
MOST_COLUMNS = 2000


class ColumnImportance(Record):
    """How much one column counts."""

    column: Line
    shap: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="mean size of its SHAP value: log odds, or units of the target"
    )
    direction: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        default=None, description="correlation of a column of numbers with its SHAP value"
    )
    loss: float | None = Field(default=None, description="how much worse the first metric gets when it is shuffled")


class Importance(Record):
    """`importance.json` of a model's artifact: the columns, most important first."""

    api_version: ApiVersion = Field(default="towpath/v1", alias="apiVersion")
    rows: PositiveInt = Field(description="test rows that were asked")
    source: Line = Field(description="what computed the SHAP values")
    columns: Annotated[tuple[ColumnImportance, ...], Field(max_length=MOST_COLUMNS)] = ()
