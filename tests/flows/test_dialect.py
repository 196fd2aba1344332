"""Separated text is read as it is written, and `towpath infer` finds out how that is."""

import codecs
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from towpath_flows.data import contract, load
from towpath_flows.data.sources import read_whole
from towpath_flows.inference import Wishes, infer, write
from towpath_flows.inference.dates import formats
from towpath_flows.inference.dialect import sniff
from towpath_flows.project import Project
from towpath_flows.text_spec import TextSpec
from towpath_gitops.errors import DataContractError, NotFoundError

New = Callable[..., Project]
LINES = ["Straße;Fläche;Preis;Datum", "Müllerweg;80,5;1.234,50;31.12.2024", "Hauptplatz;k.A.;950,00;01.02.2024"]
LINES += [f"Ring {place};{50 + place},25;{place + 1}.000,00;02.02.2024" for place in range(8)]
GERMAN = "\n".join(LINES) + "\n"


def read(path: Path, text: TextSpec) -> pd.DataFrame:
    """Return what a file holds when it is written so."""
    return read_whole(path, text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
def test_german_text_is_found_out_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    """Semicolons, decimal commas, points between thousands and a mark for missing, whatever the letters are made of."""
    path = tmp_path / "rows.csv"
    path.write_bytes(GERMAN.encode(encoding))
    text = sniff(path).text
    assert (text.separator, text.decimal, text.thousands, text.missing) == (";", ",", ".", ("k.A.",))
    frame = read(path, text)
    assert frame.columns.tolist() == ["Straße", "Fläche", "Preis", "Datum"]
    assert frame["Preis"].tolist()[:3] == [1234.5, 950.0, 1000.0]
    assert frame["Fläche"].isna().tolist()[:2] == [False, True]
    assert frame["Datum"].tolist()[:2] == ["31.12.2024", "01.02.2024"]
    assert frame["Straße"].tolist()[0] == "Müllerweg"


def test_letters_that_are_not_utf_8_are_a_doubt(tmp_path: Path) -> None:
    """Other encodings can only be guessed, so a word is shown as it was read."""
    path = tmp_path / "rows.csv"
    path.write_bytes(GERMAN.encode("cp1252"))
    assert any("cp1252" in doubt and "Straße" in doubt for doubt in sniff(path).doubts)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_separator_and_quote_are_found_out(tmp_path: Path, separator: str, quote: str) -> None:
    """Fields may hold every other mark, and the separator itself in quotes."""
    path = tmp_path / "rows.csv"
    frame = pd.DataFrame({"a": [f"x{separator}y, z; |", "plain", "p;q"], "b": [1, 2, 3], "c d": [0.5, 1.5, 2.5]})
    frame.to_csv(path, sep=separator, quotechar=quote, quoting=1, index=False)
    text = sniff(path).text
    assert (text.separator, text.quote) == (separator, quote)
    assert read(path, text).equals(frame)


@pytest.mark.parametrize(
    ("numbers", "separator", "meant", "is_open"),
    [
        (["1,5", "2,25", "0,125"], ";", [1.5, 2.25, 0.125], False),
        (["1,234", "2,345", "17"], ",", [1234, 2345, 17], True),
        (["1,234", "2,345", "17"], ";", [1.234, 2.345, 17], True),
        (["1.234", "2.345", "1.765"], ",", [1.234, 2.345, 1.765], False),
        (["1.234", "2.345", "1.765"], ";", [1234, 2345, 1765], True),
        (["0.234", "2.345", "1.765"], ";", [0.234, 2.345, 1.765], False),
        (["1 234 567", "12", "1 000"], ";", [1234567, 12, 1000], True),
        (["1'234.5", "12", "1'000"], ",", [1234.5, 12, 1000], True),
        (["1\u00a0234,5", "12", "1\u00a0000"], ";", [1234.5, 12, 1000], True),
        (["1,234.50", "12.00", "999.95"], ",", [1234.5, 12, 999.95], True),
    ],
)
def test_numbers_are_read_as_they_are_meant(
    tmp_path: Path, numbers: list[str], separator: str, meant: list[float], *, is_open: bool
) -> None:
    """Where two readings make sense, the separator decides, and the reading is told."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"a": ["p", "q", "r"], "n": numbers}).to_csv(path, sep=separator, index=False)
    found = sniff(path)
    assert read(path, found.text)["n"].tolist() == pytest.approx(meant)
    assert any("is read as" in doubt for doubt in found.doubts) is is_open


def test_a_usual_mark_among_words_is_a_doubt(tmp_path: Path) -> None:
    """NA may be Namibia: it is said how to keep it, and what is said works."""
    path = tmp_path / "rows.csv"
    path.write_text("country,size\nNA,1\nDE,2\nFR,NA\n")
    found = sniff(path)
    assert any("NA in country" in doubt and "usual_marks" in doubt for doubt in found.doubts)
    kept = read(path, TextSpec(usual_marks=False))
    assert kept["country"].tolist() == ["NA", "DE", "FR"]


def test_groups_of_digits_make_no_number_of_a_date_or_code(tmp_path: Path) -> None:
    """Only a column of which every value is a number in groups becomes one."""
    path = tmp_path / "rows.csv"
    path.write_text("day;code;n\n31.12.2024;1.23;1.234\n01.01.2024;4.567;2.000\n")
    frame = read(path, TextSpec(separator=";", decimal=",", thousands="."))
    assert frame["day"].tolist() == ["31.12.2024", "01.01.2024"]
    assert frame["code"].tolist() == ["1.23", "4.567"]
    assert frame["n"].tolist() == [1234, 2000]


def test_a_row_with_too_many_fields_is_refused(tmp_path: Path) -> None:
    """A separator within a field that lacks its quotes would push values into other columns."""
    path = tmp_path / "rows.csv"
    path.write_text("name,age\nAnn,3\nLee, Jo,4\n")
    with pytest.raises(DataContractError, match=r"(?s)cannot be read as csv.*line 3"):
        read(path, TextSpec())
    path.write_text("name,age\nLee, Jo,4\nAnn,3\n")
    with pytest.raises(DataContractError, match="2 names of columns and 3 fields"):
        read(path, TextSpec())


def test_a_column_without_a_name_is_numbered(tmp_path: Path) -> None:
    """So pandas writes its index."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"a": [4, 5]}).to_csv(path)
    assert read(path, TextSpec()).columns.tolist() == ["Unnamed: 0", "a"]


def test_the_wrong_encoding_is_named(tmp_path: Path) -> None:
    """With what to write instead."""
    path = tmp_path / "rows.csv"
    path.write_bytes(GERMAN.encode("cp1252"))
    with pytest.raises(DataContractError, match=r"(?s)not written in utf-8.*csv: \{encoding: cp1252\}"):
        read(path, TextSpec(separator=";"))


@pytest.mark.parametrize(
    "wrong", [{"encoding": "klingon"}, {"encoding": "rot13"}, {"separator": "::"}, {"decimal": ",", "thousands": ","}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, str]) -> None:
    """An encoding that nobody knows or that is none of text, two letters as separator, one mark with two meanings."""
    with pytest.raises(ValidationError):
        TextSpec(**wrong)  # type: ignore[arg-type]  # that is the point


def test_what_is_inferred_is_trained_on(tmp_path: Path) -> None:
    """model.yaml tells the dialect, and the source reads by it: the same rows, the same types."""
    random = np.random.default_rng(7)
    size = random.uniform(30, 200, 300).round(2)
    frame = pd.DataFrame({"Größe": size, "Preis": (size * 2_750 + random.normal(0, 9_000, 300)).round(2)})
    comma = frame.map(lambda value: f"{value:,.2f}".translate(str.maketrans(",.", ".,")))
    (tmp_path / "repository").mkdir()
    comma.to_csv(tmp_path / "häuser.csv", sep=";", index=False, encoding="cp1252")
    found = infer(tmp_path / "repository", tmp_path / "häuser.csv", Wishes("Preis"))
    write(tmp_path / "repository", tmp_path / "häuser.csv", found)
    project = Project.open(tmp_path / "repository")
    assert found.roles.task == "regression"
    rows = contract.validate(project, load(project)).frame
    pd.testing.assert_frame_equal(rows, frame)


@pytest.mark.parametrize("name", ["häuser.txt", "häuser.csv.gz"])
def test_text_by_another_name_or_packed_is_inferred_too(tmp_path: Path, name: str) -> None:
    """Its dialect is found out as that of a CSV file, and what is written reads the same rows."""
    frame = pd.DataFrame({"size": np.arange(300) / 4, "price": np.arange(300) * 2.5 + 1, "day": ["31.12.2025"] * 300})
    (tmp_path / "repository").mkdir()
    text = frame.to_csv(sep=";", index=False, decimal=",").encode("cp1252")
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    found = infer(tmp_path / "repository", tmp_path / name, Wishes("price"))
    write(tmp_path / "repository", tmp_path / name, found)
    rows = load(Project.open(tmp_path / "repository")).frame
    pd.testing.assert_frame_equal(rows[["size", "price"]], frame[["size", "price"]])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"z": {"y": 1}, "x": 2}\n' * 70, "It holds dicts"),
        ("a.csv.gz", b"x,z\n1,2\n", r"a\.csv\.gz cannot be read"),
    ],
)
def test_what_cannot_be_inferred_is_told(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """A target that is nested, and a packed file that is none."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataContractError, match=words):
        infer(tmp_path, tmp_path / name, Wishes("z"))


def test_files_of_a_folder_are_written_alike(tmp_path: Path) -> None:
    """model.yaml can tell one way only."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text("x;y\n1;2\n")
    (folder / "b.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataContractError, match=r"a\.csv and b\.csv are written differently"):
        infer(tmp_path, folder, Wishes("y"))


def test_files_without_a_foreign_letter_or_a_fraction_are_written_like_the_others(tmp_path: Path) -> None:
    """ASCII is every encoding, and a whole number has no decimal mark: the other files of the folder say what is."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for part, town in enumerate(["Ulm", "Köln"]):
        rows = [f"{town};{n}{',5' * part};{n * 2}" for n in range(40)]
        (folder / f"{part}.csv").write_bytes(("town;x;y\n" + "\n".join(rows)).encode("cp1252"))
    found = infer(tmp_path, folder, Wishes("y"))
    assert 'decimal: ","' in found.files["model.yaml"]
    assert {each.name: each.kind for each in found.roles.columns} == {"town": "string", "x": "number", "y": "integer"}
    (folder / "2.csv").write_text("town;x;y\nUlm;1;2\n", encoding="utf-16")
    with pytest.raises(DataContractError, match=r"utf-16"):
        infer(tmp_path, folder, Wishes("y"))


def test_a_column_that_a_file_of_a_folder_lacks_is_a_doubt(tmp_path: Path) -> None:
    """It counts as missing there, though perhaps it was only renamed."""
    folder = tmp_path / "parts"
    folder.mkdir()
    for part, name in enumerate(["x", "X"]):
        pd.DataFrame({name: range(50), "z": [1.5, 2.5] * 25, "y": range(50)}).to_csv(
            folder / f"{part}.csv", index=False
        )
    assert any("0.csv has no column X" in doubt for doubt in infer(tmp_path, folder, Wishes("y")).doubts)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"\n\n", "a.csv is empty"),
        ("a.csv", b"x,y,x\n1,2,3\n", "(?s)'x' occurs more than once.*Rename"),
        ("a.csv", b"PAR1\x00\x00", "begins as a Parquet file"),
        ("a.csv", b"PK\x03\x04\x00\x00", "begins as an Excel or zip file"),
        ("a.parquet", b"x,y\n1,2\n", "(?s)cannot be read as parquet.*what its ending says"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """The file is named, what is wrong with it, and what to do."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataContractError, match=words):
        infer(tmp_path, tmp_path / name, Wishes("y"))


def test_folders_in_a_folder_are_not_looked_into(tmp_path: Path) -> None:
    """Which is said."""
    (tmp_path / "parts" / "2025").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="not in the folders in it"):
        infer(tmp_path, tmp_path / "parts", Wishes("y"))


def test_tabs_have_a_name_of_their_own(new_project: New, orders: pd.DataFrame) -> None:
    """Files of that name are read, and `tab` is one in model.yaml; a byte order mark belongs to no column."""
    project = new_project(spec=("file: data/orders.parquet", "file: data/orders.tsv, csv: {separator: tab}"))
    path = project.root / "data" / "orders.tsv"
    orders.to_csv(path, sep="\t", index=False)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert load(project).frame["order_id"].tolist() == orders["order_id"].tolist()


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(WORDS, min_size=4, max_size=12),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-16"]),
)
def test_any_words_come_back(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], separator: str, encoding: str
) -> None:
    """Whatever the fields hold, a table with a column of numbers is read as it was written."""
    path = tmp_path_factory.mktemp("any") / "rows.csv"
    frame = pd.DataFrame({"id": range(len(words)), "word": words, "n": [place + 0.5 for place in range(len(words))]})
    frame.to_csv(path, sep=separator, index=False, encoding=encoding)
    found = sniff(path).text
    assert found.separator == separator
    assert read(path, found)["n"].tolist() == frame["n"].tolist()


@pytest.mark.parametrize(
    ("dates", "form", "is_open"),
    [
        (["31.12.2024", "01.02.2025"], "%d.%m.%Y", False),
        (["12/31/2024", "02/01/2025"], "%m/%d/%Y", False),
        (["31/12/2024 14:05", "02/01/2025 00:00"], "%d/%m/%Y %H:%M", False),
        (["03/01/2025", "02/04/2025", "01/05/2025"], "%d/%m/%Y", True),
        (["01/03/2025", "04/02/2025", "05/01/2025"], "%m/%d/%Y", True),
        (["3 Mar 2025", "12 Dec 2024"], "%d %b %Y", False),
        (["Mar 3, 2025", "Dec 12, 2024"], "%b %d, %Y", False),
        (["20241231", "20250201"], "%Y%m%d", False),
        (["31/12/2024 14:05:00 +0200", "02/01/2025 00:00:00 +0100"], "%d/%m/%Y %H:%M:%S %z", False),
        (["2024-12-31 14:05:00 UTC", "2025-01-02 00:00:00 UTC"], "%Y-%m-%d %H:%M:%S UTC", False),
        (["12/2024", "01/2025"], "%m/%Y", False),
        (["Dec 2024", "Jan 2025"], "%b %Y", False),
        (["Dec-2024", "Jan-2025"], "%b-%Y", False),
    ],
)
def test_the_form_of_dates_is_found_out(tmp_path: Path, dates: list[str], form: str, *, is_open: bool) -> None:
    """Where day and month could be either, the order of the rows speaks, and it is said."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"n": [place + 0.5 for place in range(len(dates))], "day": dates}).to_csv(path, index=False)
    found, doubts = formats(read(path, TextSpec()))
    assert found == {"day": form}
    assert any("would fit as well" in doubt for doubt in doubts) is is_open


@pytest.mark.parametrize("dates", [["31.12.2024", "2024-12-31"], ["31.12.2024", "12/31/2024"], ["1.2.3", "7.8.9"]])
def test_dates_of_several_forms_are_no_dates(tmp_path: Path, dates: list[str]) -> None:
    """Nobody could say what they mean: they are left as they are."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"n": [1.5, 2.5], "day": dates}).to_csv(path, index=False)
    assert formats(read(path, TextSpec())) == ({}, [])


def test_dates_of_a_form_are_moments(new_project: New, orders: pd.DataFrame) -> None:
    """The time may be written so; of a date that is none, the row and its text are told."""
    source = 'file: data/orders.csv, csv: {dates: {ordered_at: "%d.%m.%Y %H:%M"}}'
    project = new_project(spec=("file: data/orders.parquet", source))
    written = orders.assign(ordered_at=orders["ordered_at"].dt.strftime("%d.%m.%Y %H:%M"))
    written.to_csv(project.root / "data" / "orders.csv", index=False)
    assert load(project).frame["ordered_at"].tolist() == orders["ordered_at"].tolist()
    written.loc[3, "ordered_at"] = "31.02.2026 00:00"
    written.to_csv(project.root / "data" / "orders.csv", index=False)
    with pytest.raises(DataContractError, match=r"row 3 \('31\.02\.2026 00:00'\)"):
        load(project)


def test_a_table_with_german_dates_is_split_by_them(tmp_path: Path) -> None:
    """What `towpath infer` finds becomes the time."""
    random = np.random.default_rng(7)
    days = pd.date_range("2024-01-01", periods=300).strftime("%d.%m.%Y")
    frame = pd.DataFrame({"Datum": days, "x": random.normal(size=300).round(3)})
    frame["y"] = (frame["x"] + random.normal(size=300) > 0).astype(int)
    (tmp_path / "repository").mkdir()
    frame.to_csv(tmp_path / "t.csv", index=False)
    found = infer(tmp_path / "repository", tmp_path / "t.csv", Wishes("y"))
    write(tmp_path / "repository", tmp_path / "t.csv", found)
    project = Project.open(tmp_path / "repository")
    assert project.spec.time == "Datum"
    rows = contract.validate(project, load(project)).frame
    assert rows["Datum"].tolist() == pd.date_range("2024-01-01", periods=300, tz="UTC").tolist()


def test_infinities_in_text_are_missing(tmp_path: Path) -> None:
    """They are no numbers to learn from, and the column is worth keeping."""
    path = tmp_path / "rows.csv"
    pd.DataFrame({"a": ["p", "q", "r", "s"], "n": [1.5, np.inf, 2.5, 3.5]}).to_csv(path, index=False)
    found = sniff(path)
    assert found.text.missing == ("inf",)
    assert read(path, found.text)["n"].isna().tolist() == [False, True, False, False]
