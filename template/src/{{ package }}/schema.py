"""What one row is: the contract between the data and the model. Rows that break it are refused before training."""

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series


class Flights(pa.DataFrameModel):
    """One row per flight that landed; the weather is that of the hour and airport of its departure."""

    flight_id: Series[str] = pa.Field(unique=True)
    scheduled_at: Series[pd.DatetimeTZDtype] = pa.Field(dtype_kwargs={"unit": "us", "tz": "UTC"})
    carrier: Series[str]
    origin: Series[str] = pa.Field(isin=["EWR", "JFK", "LGA"])
    dest: Series[str]
    distance: Series[int] = pa.Field(gt=0, description="miles")
    hour: Series[int] = pa.Field(ge=0, le=23, description="of the scheduled departure, in New York")
    weekday: Series[int] = pa.Field(ge=0, le=6, description="0 is Monday")
    temp: Series[float] = pa.Field(nullable=True, ge=-60, le=130, description="°F")
    humid: Series[float] = pa.Field(nullable=True, ge=0, le=100, description="%")
    wind_speed: Series[float] = pa.Field(nullable=True, ge=0, description="mph")
    wind_gust: Series[float] = pa.Field(nullable=True, ge=0, description="mph; missing in calm air")
    precip: Series[float] = pa.Field(nullable=True, ge=0, description="inches in the hour")
    pressure: Series[float] = pa.Field(nullable=True, ge=900, le=1100, description="millibars")
    visib: Series[float] = pa.Field(nullable=True, ge=0, le=10, description="miles")
    seats: Series[float] = pa.Field(nullable=True, gt=0)
    engines: Series[float] = pa.Field(nullable=True, ge=1)
    plane_age: Series[float] = pa.Field(nullable=True, ge=0, description="years")
    dep_delay: Series[float] = pa.Field(description="minutes; not known before departure, see exclude in model.yaml")
    late: Series[bool] = pa.Field(description="arrived more than 15 minutes late")

    class Config:
        """Columns that are not named here are dropped; types are converted where nothing is lost."""

        strict = "filter"
        coerce = True
