import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from towpath_flows.data import contract, load, quality, split
from towpath_flows.data.coercion import kind_of
from towpath_flows.inference import Inference, Wishes, infer, write
from towpath_flows.inference.columns import Column, examine
from towpath_flows.inference.roles import Roles
from towpath_flows.inference.schema_file import schema_text
from towpath_flows.project import Project
from towpath_gitops.errors import ConflictError, DataContractError, NotFoundError, TowpathError
from towpath_gitops.records.evidence import Verdict

Inferred = Callable[..., Inference]
Awkward = Callable[..., pd.DataFrame]
RUFF = Path(__file__).parents[2] / "template" / "pyproject.toml.jinja"


@pytest.fixture
def inferred(tmp_path: Path) -> Inferred:
    """Return a function that writes a table as CSV (or another kind) and infers from it."""

    def infer_from(frame: pd.DataFrame, target: str, name: str = "table.csv", **wishes: str) -> Inference:
        file = tmp_path / name
        if file.suffix == ".csv":
            frame.to_csv(file, index=False)
        elif file.suffix == ".parquet":
            frame.to_parquet(file, index=False)
        else:
            frame.to_json(file, orient="records", lines=True)
        root = tmp_path / "repository"
        root.mkdir(exist_ok=True)
        return infer(root, file, Wishes(target, **wishes))  # type: ignore[arg-type]  # a task, by its name

    return infer_from


def column(found: Inference, name: str) -> Column:
    """Return what was found about a column."""
    return next(each for each in found.roles.columns if each.name == name)


@pytest.fixture(scope="module")
def frame(awkward: Awkward) -> pd.DataFrame:
    """Return the awkward table; do not change it in place."""
    return awkward()


@pytest.fixture(scope="module")
def regression(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Inference]:
    """Return a repository into which the awkward table was inferred and written, and what was inferred."""
    top = tmp_path_factory.mktemp("inferred")
    frame.to_csv(top / "table.csv", index=False)
    root = top / "repository"
    root.mkdir()
    found = infer(root, top / "table.csv", Wishes("def"))
    write(root, top / "table.csv", found)
    return root, found


@pytest.mark.parametrize(
    ("name", "kind", "aside"),
    [
        ("size (m).x", "number", ""),
        ("class", "string", ""),
        ("index", "integer", "counts the rows"),
        ("Datum", "moment", "a moment is no number"),
        ("flag", "boolean", ""),
        ("maybe", "boolean", ""),
        ("postcode", "string", ""),
        ("big", "number", ""),
        ("empty", "number", "no value in any row"),
        ("const", "integer", "same value in every row"),
        ("mixed", "number", ""),
        ("epoch_time", "number", "seconds since 1970"),
        ("prose", "string", "prose"),
    ],
)
def test_each_column_is_taken_for_what_it_is(
    name: str, kind: str, aside: str, regression: tuple[Path, Inference]
) -> None:
    """Types are as they were found, and what the model cannot use is set aside, with the reason."""
    found = column(regression[1], name)
    assert found.kind == kind
    assert aside in found.aside
    assert bool(aside) == bool(found.aside)


def test_roles_are_given_where_they_are_evident(regression: tuple[Path, Inference]) -> None:
    """A moment in every row is the time, a name in every row the entity, a number the target of a regression."""
    roles = regression[1].roles
    assert (roles.task, roles.time, roles.entity) == ("regression", "when", "user id")
    assert roles.target.nullable


def test_doubts_are_told(regression: tuple[Path, Inference]) -> None:
    """What the table leaves open is said: codes, rounding, a mark for missing, a date in another form, an epoch."""
    told = " ".join(regression[1].doubts)
    assert all(word in told for word in ("postcode", "2^24", "'?'", "%d.%m.%Y", "1970"))


def test_what_is_written_is_valid_and_may_be_trained_on(regression: tuple[Path, Inference]) -> None:
    """The written files are a project whose table fits the schema, splits, and passes every data check."""
    project = Project.open(regression[0])
    rows = contract.validate(project, load(project))
    assert "endless" not in rows.frame
    found = quality.inspect(project, rows, split(project, rows.frame))
    assert {finding.verdict for finding in found.findings} == {Verdict.PASS}
    assert kind_of(project.schema.columns["gap"].dtype) == "number"
    assert project.spec.gates


def test_the_written_schema_is_clean(regression: tuple[Path, Inference], tmp_path: Path) -> None:
    """The generated repository's own ruff finds nothing to say about it, nor to format."""
    config = tmp_path / "pyproject.toml"
    config.write_text(RUFF.read_text().replace("[{{ extras }}] @ {{ towpath_pin }}", ""))
    assert linted(regression[0], config) == ""


def linted(root: Path, config: Path) -> str:
    """Return what ruff says, by the rules of a generated repository."""
    target = root / "pyproject.toml"
    target.write_text(config.read_text())
    try:
        said = [
            subprocess.run(
                [sys.executable, "-m", "ruff", *verb, "."], cwd=root, check=False, capture_output=True, text=True
            )
            for verb in (["check", "--quiet", "--no-cache"], ["format", "--quiet", "--diff", "--no-cache"])
        ]
    finally:
        target.unlink()
    return "".join(each.stdout + each.stderr for each in said)


def test_hostile_names_make_a_clean_schema(tmp_path: Path) -> None:
    """Keywords, pandera's own words, look-alikes, long lists, long names: formatted, linted, loaded."""
    names = [
        "class", "None", "validate", "Config", "self", "float", "pd", "l", "O", "_x", "__init__", "A b", "a_b", "a.b",
        "日本語", "Ünïcode", "🚢", "1st", "it's", 'say "hi"', "back\\slash", "x" * 180, "long name " * 18, "{}", "# no",
        "alpha \N{CYRILLIC SMALL LETTER A}",
    ]  # fmt: skip
    long = tuple(f"category number {number} “\N{GREEK SMALL LETTER ALPHA}”" for number in range(10))
    columns = [
        Column(name, "string", 100, distinct=10, categories=long if "a" in name else ("x", "y")) for name in names
    ]
    target = Column("y", "number", 100, 3, 90, (0.0, 1.0))
    roles = Roles(target, "regression", None, None, None, (*columns, target), ())
    package = tmp_path / "r" / "src" / "shop"
    package.mkdir(parents=True)
    (package / "schema.py").write_text(schema_text("Shop", "data/x.csv", roles))
    config = tmp_path / "pyproject.toml"
    config.write_text(RUFF.read_text().replace("[{{ extras }}] @ {{ towpath_pin }}", ""))
    assert linted(tmp_path / "r", config) == ""
    namespace: dict[str, object] = {}
    exec((package / "schema.py").read_text(), namespace)  # noqa: S102 (the module is what is tested)
    schema = namespace["Shop"]
    assert isinstance(schema, type)
    assert issubclass(schema, pa.DataFrameModel)
    assert list(schema.to_schema().columns) == [*names, "y"]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([True, False] * 100, "binary"),
        ([0.0, 1.0] * 100, "binary"),
        (["ja", "nein"] * 100, "binary"),
        (["a b", "ü", "c"] * 70, "multiclass"),
        ([3, 4, 5, 6] * 50, "multiclass"),
        (list(range(200)), "regression"),
        ([-0.5, 1.25, 3.5, 9.75, 2.5] * 40, "regression"),
        ([0] * 150 + [1] * 40 + [2, 3, 4, 17], "regression"),
    ],
)
def test_the_target_sets_the_task(values: list[object], task: str, inferred: Inferred) -> None:
    """Two values are binary, texts and a few codes that recur multiclass, all other numbers regression."""
    rows = len(values)
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=rows), "y": values})
    assert inferred(table, "y").roles.task == task


def test_the_owner_may_say_otherwise(inferred: Inferred) -> None:
    """`--task` is followed, and a doubt that it settles is not told."""
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=200), "y": [3, 4, 5, 6] * 50})
    found = inferred(table, "y", task="regression")
    assert found.roles.task == "regression"
    assert "--task" not in " ".join(found.doubts)


def test_the_positive_class_says_yes_or_is_the_rarer(inferred: Inferred) -> None:
    """`yes` is asked about wherever it stands in the alphabet; else the rarer, and that is said."""
    x = np.random.default_rng(0).normal(size=200)
    assert inferred(pd.DataFrame({"x": x, "y": ["yes", "zero"] * 100}), "y").roles.positive == "yes"
    found = inferred(pd.DataFrame({"x": x, "y": ["ham"] * 150 + ["eggs"] * 50}), "y")
    assert found.roles.positive == "eggs"
    assert "rarer" in " ".join(found.doubts)


def test_a_copy_of_the_answer_is_set_aside(inferred: Inferred) -> None:
    """A column made from the target is no feature, though it bears another name and other values; that is said."""
    random = np.random.default_rng(0)
    y = random.random(300) < 0.4
    table = pd.DataFrame({"x": y + random.normal(size=300), "paid": np.where(y, 10 + random.random(300), 0.0), "y": y})
    found = inferred(table, "y")
    assert "as if it knew" in column(found, "paid").aside
    assert [each.name for each in found.roles.features] == ["x"]


def test_a_strong_column_is_borne_and_told(inferred: Inferred) -> None:
    """A real measurement may be strong: it alone is let pass, and the owner is asked."""
    random = np.random.default_rng(0)
    y = random.random(600) < 0.5
    found = inferred(pd.DataFrame({"x": 2 * y + random.normal(size=600), "z": random.random(600), "y": y}), "y")
    assert "    known:\n      - x # 0.8" in found.files["model.yaml"]
    assert "Is that known in time?" in " ".join(found.doubts)


def test_rows_that_repeat_are_told(inferred: Inferred) -> None:
    """Copies across the parts are borne, with their share in model.yaml and a question to the owner."""
    random = np.random.default_rng(0)
    once = pd.DataFrame({"x": random.normal(size=100), "y": random.normal(size=100)})
    found = inferred(pd.concat([once] * 3), "y")
    assert "duplicates: 100%" in found.files["model.yaml"]
    assert "overlap: 100%" in found.files["model.yaml"]
    assert "repeated" in " ".join(found.doubts)


def test_a_time_by_which_the_rows_cannot_be_split_is_set_aside(inferred: Inferred) -> None:
    """Where one moment has most of the rows they are split at random, and the reason is told."""
    days = ["2024-01-01"] * 280 + ["2024-01-02"] * 10 + ["2024-01-03"] * 10
    found = inferred(pd.DataFrame({"day": days, "x": [1, 2, 4] * 100, "y": [1.5, 2.5, 3.0] * 100}), "y")
    assert found.roles.time is None
    assert "cannot be split by it" in " ".join(found.doubts)


def test_a_class_of_one_row_is_learned_and_told(inferred: Inferred) -> None:
    """One row of a class does not stop the others from being told apart; nobody can judge it, and that is said."""
    random = np.random.default_rng(0)
    kinds = random.choice(["a", "b", "c"], 300).astype(object)
    kinds[17] = "once"
    found = inferred(pd.DataFrame({"x": (kinds == "a") + random.normal(size=300), "kind": kinds}), "kind")
    assert "No test row is of class once" in " ".join(found.doubts)


REFUSED: dict[str, tuple[Callable[[Awkward], pd.DataFrame], str, str]] = {
    "thirty rows": (lambda _: pd.DataFrame({"x": range(30), "y": [0, 1] * 15}), "y", "too few"),
    "another name": (lambda awkward: awkward(90), "knd", "Did you mean --target 'kind'"),
    "moments": (lambda awkward: awkward(90), "when", "holds moments"),
    "one value": (lambda awkward: awkward(90), "const", "is 7 in every row"),
    "no value": (lambda awkward: awkward(90), "empty", "no value in any row"),
    "infinities": (lambda _: pd.DataFrame({"x": range(90), "y": [np.inf, *range(89)]}), "y", "infinities"),
    "many texts": (lambda awkward: awkward(300), "prose", "different texts"),
    "one column": (lambda _: pd.DataFrame({"y": range(90)}), "y", "single column"),
    "nothing to learn from": (lambda _: pd.DataFrame({"y": [0, 1] * 50, "const": 1}), "y", "No column is left"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learned_from_is_refused_with_the_reason(
    case: str, inferred: Inferred, awkward: Awkward
) -> None:
    """Each comes with a sentence that says what is wrong with the table or the target."""
    make, target, words = REFUSED[case]
    with pytest.raises(TowpathError) as refused:
        inferred(make(awkward), target, "table.parquet" if case == "infinities" else "table.csv")
    assert words in str(refused.value)
    assert isinstance(refused.value, DataContractError | NotFoundError)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a b y\n1 2 3\n" * 40, "single column"),
        (b"PK\x03\x04\n\x00\xff\x17,\x9a\x81" * 9, "bytes of zero"),
        (b"a,a,y\n1,2,3\n", "two columns of the same name"),
        (b"a,y\n", "holds no rows"),
        (b"", "is empty"),
    ],
)
def test_text_that_training_could_not_read_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    """Another separator, no text, a name twice, no rows, no bytes: each is called what it is."""
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataContractError, match=words):
        infer(tmp_path, tmp_path / "t.csv", Wishes("y"))


def test_parquet_keeps_what_only_parquet_can_say(inferred: Inferred, awkward: Awkward) -> None:
    """Categories, dates, nullable truths and moments keep their types; lists and durations are left out, and said."""
    table = awkward(300).drop(columns=["when"])
    table["grade"] = pd.Categorical(["x", "y", None] * 100)
    table["maybe"] = table["maybe"].astype("boolean")
    table["day"] = pd.date_range("2024-01-01", periods=300).date
    table["list"] = [[1, 2]] * 300
    table["took"] = pd.to_timedelta(range(300), unit="h")
    found = inferred(table, "kind", "t.parquet")
    kinds = {name: column(found, name).kind for name in ("grade", "maybe", "day")}
    assert kinds == {"grade": "string", "maybe": "boolean", "day": "moment"}
    assert found.roles.time == "day"
    assert "lists" in column(found, "list").lost
    assert "durations" in column(found, "took").lost
    assert "# Left out: list." in found.files["src/repository/schema.py"]


def test_what_an_owner_wrote_is_not_overwritten(regression: tuple[Path, Inference], tmp_path: Path) -> None:
    """The same text again is no loss; another is refused and nothing is written, until it is forced."""
    root, found = regression
    file = root.parent / "table.csv"
    for path, text in found.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    write(tmp_path, file, found)
    (tmp_path / "model.yaml").write_text("# mine\n")
    with pytest.raises(ConflictError, match=r"model\.yaml would be overwritten"):
        write(tmp_path, file, found)
    assert (tmp_path / "model.yaml").read_text() == "# mine\n"
    write(tmp_path, file, found, force=True)
    assert (tmp_path / "model.yaml").read_text() == found.files["model.yaml"]


def test_a_table_in_the_repository_stays_where_it_is(tmp_path: Path) -> None:
    """model.yaml names it there, and nothing is copied; one from elsewhere goes to data/."""
    random = np.random.default_rng(0)
    (tmp_path / "tables").mkdir()
    pd.DataFrame({"x": random.random(100), "y": random.random(100)}).to_csv(tmp_path / "tables" / "t.csv", index=False)
    found = infer(tmp_path, tmp_path / "tables" / "t.csv", Wishes("y"))
    assert found.copied is None
    assert 'file: "tables/t.csv"' in found.files["model.yaml"]


def test_codes_are_told_from_numbers_by_their_spelling() -> None:
    """Digits with a zero in front are text; whole numbers with gaps are whole, unless they are written with a point."""
    numbers = pd.Series([501.0, None, 90210.0, 1000.0])
    assert examine("x", numbers, pd.Series(["00501", None, "90210", "01000"])).kind == "string"
    assert examine("x", numbers, pd.Series(["501", None, "90210", "1000"])).kind == "integer"
    assert examine("x", numbers, pd.Series(["501.0", None, "90210.0", "1000.0"])).kind == "number"
    assert examine("x", numbers).kind == "number"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["12.5%", "3.0%", "7%"], "write the number alone"),
        (["$1,200.50", "$3.00", "$17"], "write the number alone"),
        (["80 kg", "75 kg", "91.5 kg"], "write the number alone"),
        (["12 kg", "3 lb", "7 kg"], ""),
        (["A4", "B5", "C6"], ""),
    ],
)
def test_numbers_with_a_sign_are_a_doubt(values: list[str], words: str) -> None:
    """As words their order would be that of the alphabet; several units are no numbers."""
    assert words in " ".join(examine("x", pd.Series(values * 9)).remarks)
    assert bool(words) == bool(examine("x", pd.Series(values * 9)).remarks)


@pytest.mark.parametrize(
    ("texts", "kind", "words"),
    [
        (["2024-01", "2024-02", "2024-12"], "moment", "a moment is no number"),
        (["2009-10", "2010-11", "2011-12"], "string", ""),
        (["31.12.2024", "2024-12-31"], "string", "several forms, such as 31.12.2024 and 2024-12-31"),
        (["1.2.3", "1.10.0"], "string", ""),
    ],
)
def test_months_are_moments_and_seasons_and_versions_are_none(texts: list[str], kind: str, words: str) -> None:
    """Dates of several forms are set aside with one of each, for no reader could tell them."""
    column = examine("when", pd.Series(texts * 5))
    assert column.kind == kind
    assert words in column.aside
    assert bool(words) is bool(column.aside)


def test_a_date_beyond_nanoseconds_is_borne(inferred: Inferred) -> None:
    """9999-12-31 means open in many tables; a day before 1678 may be a slip. Neither stops what is read."""
    days = pd.Series(pd.date_range("2024-01-01", periods=200).strftime("%Y-%m-%d"))
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=200), "born": days, "valid_until": days})
    frame.loc[3, ["born", "valid_until"]] = ["1600-01-01", "9999-12-31"]
    frame["y"] = frame["x"] + random.normal(size=200) > 0
    found = inferred(frame, "y")
    assert {each.name: each.kind for each in found.roles.columns}["valid_until"] == "moment"


def test_numbers_that_vanish_are_set_aside() -> None:
    """What float32 makes zero tells rows apart no more."""
    assert "makes them 0" in examine("x", pd.Series([1e-60, 3e-80, 2e-90])).aside


def test_few_fractions_may_be_codes(inferred: Inferred) -> None:
    """They are taken for amounts, and it is said how to have classes; which works."""
    x = np.random.default_rng(0).normal(size=300)
    frame = pd.DataFrame({"x": x, "grade": pd.qcut(x, 3, labels=[1.0, 1.5, 2.0]).astype(float)})
    found = inferred(frame, "grade")
    assert found.roles.task == "regression"
    assert any("--task multiclass" in doubt for doubt in found.doubts)
    assert inferred(frame, "grade", task="multiclass").roles.task == "multiclass"


def test_texts_that_name_rows_are_set_aside_before_a_check_refuses_them() -> None:
    """Among the rows that training sees there are more different ones for each row than in the whole table."""
    random = np.random.default_rng(0)
    assert "name for each row" in examine("shop", pd.Series(random.integers(0, 300, 600).astype(str)) + "-x").aside
    assert not examine("shop", pd.Series(random.integers(0, 90, 600).astype(str)) + "-x").aside


@pytest.mark.parametrize("name", ['he said "hi"', "back\\slash", "line\nbreak", ""])
def test_names_that_callers_cannot_send_are_left_out(name: str) -> None:
    """And it is said why."""
    assert "name" in examine(name, pd.Series([1.0, 2.0])).lost


def test_shares_grow_until_few_rows_of_many_classes_can_be_split(inferred: Inferred) -> None:
    """Dealing out each class loses rows to rounding; where nothing helps, no file is named that is not there."""
    random = np.random.default_rng(0)
    kind = np.repeat([f"k{place}" for place in range(6)], [15, 15, 15, 16, 16, 11])
    frame = pd.DataFrame({"x": random.normal(size=88), "kind": kind})
    assert inferred(frame, "kind").trial.rows["validation"] >= 20
    rare = frame.assign(kind=[f"k{place}" if place > 30 else "usual" for place in range(88)])
    with pytest.raises(DataContractError, match="cannot be split in three") as refused:
        inferred(rare, "kind")
    assert "model.yaml" not in str(refused.value)
