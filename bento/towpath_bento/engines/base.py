"""What an engine is, and what a module of this folder offers."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from towpath_bento.columns import Columns
from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.signature import Signature


class Engine(Protocol):
    """A model in memory. Safe to call from several threads."""

    def predict(self, columns: Columns) -> NDArray[np.floating[Any]]:
        """Return an array of shape (n, k) for columns of shape (n, 1), as the package's docstring describes them.

        `Blocks`, which hold all columns in two arrays, are taken as they are.
        """
        ...


class EngineModule(Protocol):
    """What each engine's module offers; it imports its heavy libraries inside."""

    def open_engine(self, folder: Path, signature: Signature) -> Engine:
        """Open the model in `folder`; see `towpath_bento.engines.open_engine`."""
        ...


def needed(folder: Path, name: str) -> Path:
    """Return the path of the file `name` in an artifact.

    Raises:
        NotFoundError: it is not there.
    """
    path = folder / name
    if not path.is_file():
        raise NotFoundError(f"The artifact has no {name}", why=f"Looked in {folder}.", hint="Register the model again.")
    return path
