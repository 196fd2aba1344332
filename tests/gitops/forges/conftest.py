"""Houses for every forge; another forge is one row more in `HOUSES`."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

sys.path.append(str(Path(__file__).parent))
from house import GitHubHouse, House

HOUSES: Final[dict[str, Callable[[Path], House]]] = {
    "local": House,
    "github": GitHubHouse,
}


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A house for each forge in turn."""
    made = HOUSES[request.param](tmp_path / "house")
    yield made
    made.close()


@pytest.fixture
def local_house(tmp_path: Path) -> House:
    """A house with pull requests on refs."""
    return House(tmp_path / "house")


@pytest.fixture
def github_house(tmp_path: Path) -> Iterator[GitHubHouse]:
    """A house with pull requests on our own GitHub."""
    made = GitHubHouse(tmp_path / "house")
    yield made
    made.close()


@pytest.fixture
def fresh_house(tmp_path: Path) -> Callable[[], House]:
    """Return a function that makes another house with pull requests on refs."""
    numbers = count(1)
    return lambda: House(tmp_path / f"house{next(numbers)}")
