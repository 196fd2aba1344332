"""A model behind its serving engine, asked about validated rows: how candidates, champions and releases are scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from towpath_bento.engines import Engine, open_engine
from towpath_flows.training.features import Features, engine_columns
from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared, declared_at
from towpath_gitops.delivery.owners_code import fetch_reviewed
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import UncleanRepositoryError
from towpath_gitops.records.artifact import REFERENCE, SIGNATURE
from towpath_gitops.records.parsing import parse_json, parse_yaml
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature
from towpath_gitops.repository import Repository


@dataclass(frozen=True)
class Scorer:
    """An opened artifact: the engine that serves it, and how rows become its inputs."""

    folder: Path
    features: Features
    engine: Engine

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the artifact in `folder`, whose digest the caller has checked or which this process has just written.

        Raises:
            NotFoundError: a file is missing.
            InvalidFileError: a file cannot be opened safely.
        """
        signature = parse_json((folder / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
        return cls(folder, Features(signature), open_engine(folder, signature))

    @classmethod
    def fetch(cls, root: Path, release: Release) -> Self:
        """Open a registered release, its bytes checked first.

        Raises:
            DigestMismatchError, NotFoundError, UnavailableError: as `fetch_reviewed`.
        """
        return cls.open(fetch_reviewed(Registry(layout.tracking_uri(root)), Repository.discover(root), release))

    @property
    def signature(self) -> Signature:
        """What the model takes and answers."""
        return self.features.signature

    def columns(self, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
        """Return validated rows as the engine takes them: column → (n, 1).

        Raises:
            DataContractError: the rows lack a column that the model needs.
        """
        return engine_columns(self.features.x(frame))

    def reference(self) -> pd.DataFrame:
        """Return the sample of rows that was kept when the model was trained; see `training.reference`."""
        return pd.read_parquet(self.folder / REFERENCE)

    def answers(self, frame: pd.DataFrame) -> NDArray[Any]:
        """Return the engine's answers (n, k) as float64 to validated rows."""
        return np.asarray(self.engine.predict(self.columns(frame)), dtype=np.float64)


def find_champion(root: Path, model: str) -> Release | None:
    """Return the release that main declares in the last environment; None while nothing is, raising as below."""
    declared = declared_champion(root, model)
    return declared.release if declared else None


def declared_champion(root: Path, model: str) -> Declared | None:
    """Return what main declares in the last environment of the policy; None while nothing is declared.

    Main is the remote's, fetched now. A repository without a remote, or whose main was never pushed, has no champion:
    nothing can have been promoted.

    Raises:
        UnavailableError: the remote does not answer.
        InvalidFileError: the policy or the environment's file cannot be read.
    """
    try:
        repository = Repository.discover(root)
        repository.fetch()
        commit = repository.main()
    except UncleanRepositoryError:
        return None
    text = repository.read(commit, layout.POLICY)
    if text is None:
        return None
    policy = parse_yaml(text, Policy, source=layout.POLICY)
    return declared_at(repository, commit, policy.last.name, model)
