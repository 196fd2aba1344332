"""What one row is."""

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series


class Barges(pa.DataFrameModel):
    """One row per barge that arrived."""

    barge: Series[str] = pa.Field(unique=True)
    at: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    cargo: Series[str] = pa.Field(isin=["coal", "grain", "timber"])
    distance: Series[float] = pa.Field(gt=0, description="km")
    wind: Series[float] = pa.Field(nullable=True, ge=0, description="m/s")
    locks: Series[int] = pa.Field(ge=0, le=30)
    answer: Series[float] = pa.Field(description="known only after the fact: model.yaml excludes it")
    late: Series[bool]

    class Config:
        """Columns that are not named here are dropped; types are converted where nothing is lost."""

        strict = "filter"
        coerce = True
