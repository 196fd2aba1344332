"""Numbers beside signs and units, times of day, lines above a table and spaces in it: found out, said, and read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from towpath_flows.data import contract, load
from towpath_flows.data.sources import read_whole
from towpath_flows.data.sources.measures import amount, clock
from towpath_flows.data_spec import DuckdbSource
from towpath_flows.inference import Wishes, infer, write
from towpath_flows.inference.columns import examine
from towpath_flows.inference.dialect import sniff
from towpath_flows.project import Project
from towpath_flows.text_spec import TextSpec

ROWS = [f"{place}.5,{'ab'[place % 2]},{place}" for place in range(12)]
TABLE = "x,w,y\n" + "\n".join(ROWS) + "\n"


@pytest.mark.parametrize(
    ("texts", "unit", "meant"),
    [
        (["$1,234.50", "-$2.00", "$0.99", "($3.10)"], "$", [1234.5, -2, 0.99, -3.1]),
        (["12%", "7.5 %", "100%"], "%", [12, 7.5, 100]),
        (["$4.99", "0", "$12", "$1.50"], "$", [4.99, 0, 12, 1.5]),
        (["R$ 1.234,50", "R$ 2,00", "-R$17,25"], "R$", [1234.5, 2, -17.25]),
        (["1.234,50 €", "2,00 €", "17,25 €"], "€", [1234.5, 2, 17.25]),
        (["11:38:36", "00:00:01", "23:59:59.5"], "h:m:s", [41_916, 1, 86_399.5]),
        (["11:38", "0:05", "23:59"], "h:m", [41_880, 300, 86_340]),
        (["12:05 AM", "1:30 pm", "12:00 PM"], "h:m", [300, 48_600, 43_200]),
        (["59:28", "61:03", "45:00"], "m:s", [3568, 3663, 2700]),
        (["0 days 01:00:00", "2 days 00:00:10", "00:00:05"], "h:m:s", [3600, 172_810, 5]),
        ([f"{size} kg" for size in range(50, 70)], "kg", [float(size) for size in range(50, 70)]),
    ],
)
def test_numbers_beside_a_unit_are_read(tmp_path: Path, texts: list[str], unit: str, meant: list[float]) -> None:
    """The unit and an example stand in a doubt, and a file that is read so holds plain numbers."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"a": ["p", "q"] * 10, "n": (texts * 20)[:20]}).to_csv(path, index=False, sep=";")
    found = sniff(path)
    assert found.text.units == {"n": unit}
    assert any("in n is read as" in doubt and "csv: units" in doubt for doubt in found.doubts)
    assert read_whole(path, found.text)["n"].tolist()[: len(meant)] == meant


@pytest.mark.parametrize(
    "texts",
    [
        ["4WD", "2WD", "6WD"],
        ["$5", "€5", "$6"],
        ["16:9", "4:3", "21:9"],
        ["11:38", "11:38:36", "1:00"],
        ["R$ a", "b"],
    ],
)
def test_what_is_no_number_of_one_unit_keeps_its_text(tmp_path: Path, texts: list[str]) -> None:
    """Names with a digit, several currencies, ratios, and times of which nobody knows what the first part counts."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"a": range(len(texts)), "n": texts}).to_csv(path, index=False)
    found = sniff(path)
    assert found.text.units == {}
    assert read_whole(path, found.text)["n"].tolist() == texts


def test_a_value_without_the_unit_is_told_by_the_contract(tmp_path: Path) -> None:
    """It is no number of that unit: `read` leaves it, so that its row can be named."""
    path = tmp_path / "rows.csv"
    path.write_text("n,y\n$5,1\nfree,2\n,3\n")
    assert read_whole(path, TextSpec(units={"n": "$"}))["n"].tolist()[:2] == [5, "free"]
    assert amount("5 $ or 6 $", "$", TextSpec()) is None
    assert clock("13:00 PM", (3600, 60)) is None


@pytest.mark.parametrize("above", ["# exported\n# by me\n", "sep=,\n", "Report of sales,,\n,,\n", "\nSales\n\n"])
def test_lines_above_a_table_are_passed_over(tmp_path: Path, above: str) -> None:
    """Programs write comments there and people titles; from which line on a table was read is said."""
    path = tmp_path / "rows.csv"
    path.write_text(above + TABLE)
    found = sniff(path)
    assert any(f"from line {found.text.skip + 1} on" in doubt for doubt in found.doubts)
    frame = read_whole(path, found.text)
    assert frame.columns.tolist() == ["x", "w", "y"]
    assert frame["y"].tolist() == list(range(12))


def test_spaces_after_separators_are_no_part_of_a_field(tmp_path: Path) -> None:
    """Neither of a name, nor of a quoted value, nor of a mark for missing."""
    path = tmp_path / "rows.csv"
    path.write_text(TABLE.replace(",", ", ").replace(", a,", ', "a, b",').replace(", 7\n", ", ?\n"))
    found = sniff(path).text
    assert (found.padded, found.missing) == (True, ("?",))
    frame = read_whole(path, found)
    assert frame.columns.tolist() == ["x", "w", "y"]
    assert set(frame["w"]) == {"a, b", "b"}
    assert frame["y"].isna().sum() == 1


def test_spaces_and_question_marks_mean_missing(tmp_path: Path) -> None:
    """Also among words, unless the mark is a value elsewhere: a blood group is + or -."""
    path = tmp_path / "rows.csv"
    rows = [
        f"{place if place % 5 else ' '},{'?' if place % 4 else 'ab'},{'-' if place % 3 else 'cd'},{'+-'[place % 2]}"
        for place in range(40)
    ]
    path.write_text("x,job,place,rh\n" + "\n".join(rows) + "\n")
    found = sniff(path)
    assert set(found.text.missing) == {" ", "?"}
    assert any("'?' in job is read as missing" in doubt for doubt in found.doubts)
    assert pd.api.types.is_numeric_dtype(read_whole(path, found.text)["x"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([f"{n}" for n in range(500)] + ["Total"], "but not Total"),
        (["(12)", "3", "4", "5"], "numbers written as (12)"),
        ([*(f"${n}.50" for n in range(50)), "free"], "most of its values are amounts, but not free"),
        ([*(f"13:{n:02d}" for n in range(50)), "9.12"], "most of its values are times, but not 9.12"),
        (["\u22121.5", "3", "4"], "write -12"),
        (["11:38:36", "12:00:00"], "times, such as"),
    ],
)
def test_nearly_numbers_are_told(values: list[str], words: str) -> None:
    """Where a table cannot tell how it is written, or one word spoils a column, the owner hears of it."""
    assert words in " ".join(examine("n", pd.Series(values)).remarks)


def test_objects_of_time_are_left_out_with_what_to_do(tmp_path: Path) -> None:
    """Parquet holds durations and times of day, which are no numbers by themselves."""
    path = tmp_path / "t.parquet"
    took = pd.to_timedelta(np.arange(5), unit="s")
    pd.DataFrame({"took": took, "at": [pd.Timestamp(0).time()] * 5}).to_parquet(path)
    frame = read_whole(path, TextSpec())
    assert "durations: write them as numbers" in examine("took", frame["took"]).lost
    assert "times of day: write them as numbers" in examine("at", frame["at"]).lost


def test_nested_values_of_json_lines_are_left_out(tmp_path: Path) -> None:
    """As those of Parquet: the other columns can be learned from."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=100), "tags": [["a"]] * 100, "y": random.random(100) < 0.5})
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    (tmp_path / "repository").mkdir()
    found = infer(tmp_path / "repository", tmp_path / "t.jsonl", Wishes("y"))
    write(tmp_path / "repository", tmp_path / "t.jsonl", found)
    assert [each.name for each in found.roles.columns if each.lost] == ["tags"]
    assert load(Project.open(tmp_path / "repository")).frame.columns.tolist() == ["x", "y"]


def test_a_spreadsheet_as_people_write_it_is_trained_on(tmp_path: Path) -> None:
    """A title, prices, shares and times: what is inferred reads numbers, and the contract takes them."""
    random = np.random.default_rng(1)
    price, share, at = random.lognormal(6, 2, 300), random.random(300) * 100, random.integers(0, 86_400, 300)
    frame = pd.DataFrame({
        "price": [f"${each:,.2f}" for each in price],
        "share": [f"{each:.1f}%" for each in share],
        "at": [str(pd.Timestamp(int(each), unit="s").time()) for each in at],
        "sold": share + random.normal(0, 30, 300) > 50,
    })  # fmt: skip
    path = tmp_path / "t.csv"
    path.write_text("Sales of 2025\n\n" + frame.to_csv(index=False))
    (tmp_path / "repository").mkdir()
    write(tmp_path / "repository", path, infer(tmp_path / "repository", path, Wishes("sold")))
    project = Project.open(tmp_path / "repository")
    rows = contract.validate(project, load(project)).frame
    assert rows["price"].tolist() == pytest.approx(price.round(2).tolist())
    assert rows["share"].tolist() == pytest.approx(share.round(1).tolist())
    assert rows["at"].tolist() == at.tolist()


def test_a_query_reads_units_itself() -> None:
    """DuckDB is told of neither."""
    with pytest.raises(ValidationError, match="dates and units itself"):
        DuckdbSource.model_validate(
            {"duckdb": "select 1", "files": {"t": "t.csv"}, "csv": {"t": {"units": {"n": "$"}}}}
        )
