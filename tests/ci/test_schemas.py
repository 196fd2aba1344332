"""The JSON schemas that editors check files with."""

import json
from pathlib import Path

import pytest
from check_jsonschema import main as check_jsonschema

from towpath_ci.schemas import SCHEMAS, render, write_schemas

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_current(name: str) -> None:
    """docs/schemas holds what the records say; renew it with `towpath schemas docs/schemas`."""
    assert (FOLDER / f"{name}.json").read_text() == render(name)


def test_nothing_else_is_published() -> None:
    """A schema whose record is gone is gone too."""
    assert {path.stem for path in FOLDER.glob("*.json")} == set(SCHEMAS)


def test_every_schema_is_a_schema(tmp_path: Path) -> None:
    """Each file is valid JSON Schema, and says which and what it is called."""
    paths = write_schemas(tmp_path)
    assert all(json.loads(path.read_text())["$id"] == f"urn:towpath:v1:{path.stem}" for path in paths)
    with pytest.raises(SystemExit) as done:
        check_jsonschema(["--check-metaschema", *map(str, paths)], standalone_mode=True)
    assert done.value.code == 0


def test_writing_again_touches_nothing(tmp_path: Path) -> None:
    """Files that are right already keep their time, so that Make and editors are not woken."""
    before = [path.stat().st_mtime_ns for path in write_schemas(tmp_path)]
    assert [path.stat().st_mtime_ns for path in write_schemas(tmp_path)] == before
