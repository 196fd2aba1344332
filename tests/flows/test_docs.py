"""What the pages about model.yaml show can be copied."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from towpath_flows.spec import load_spec
from towpath_gitops.records.parsing import dump_yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "training.md"
PAGES = (PAGE, ROOT / "docs" / "dask.md", ROOT / "docs" / "feast.md")
MINIMAL = {
    "name": "flights",
    "target": "late",
    "time": "scheduled_at",
    "data": {"train": {"file": "a.csv"}},
    "schema": "flights.schema:Flights",
    "business": {"saved": {"function": "flights.worth:saved"}},
    "threshold": {"cost": {"false_alarm": 1, "miss": 2}},
}
BLOCKS = [
    block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split(":")[0])
def test_every_block_is_a_part_of_a_model_yaml(block: str, tmp_path: Path) -> None:
    """Each block, added to the few lines that are needed, is read as it stands."""
    (tmp_path / "model.yaml").write_text(dump_yaml(MINIMAL | YAML(typ="safe").load(block)))
    load_spec(tmp_path)


def test_every_test_file_that_is_named_is_there() -> None:
    """A reader who looks for the tests of a promise finds them: names go on in the folder of the one before."""
    for line in re.findall(r"\(tests/[^)]*\)", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        folder = Path()
        for name in re.findall(r"[\w/*]+\.py", line):
            folder = Path(name).parent if "/" in name else folder
            assert list((ROOT / folder).glob(Path(name).name)), name
