"""Checks of what answers over the network."""

import socket
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from towpath_ci.doctor.base import Check, Finding
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.errors import TowpathError
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.repository import Repository

PATIENCE_S: Final = 5.0


class Ports(Check):
    """The ports of the local services are free, or taken by this repository's own services."""

    mend = "edit target.port in gitops/environments/<environment>/<model>.yaml, or stop what holds the port"

    @staticmethod
    def check(model_root: Path, deployments: tuple[Deployment, ...]) -> Finding:
        """A service whose port is taken by a stranger never starts."""
        taken = [
            f"{deployment.target.port} ({deployment.environment})"
            for deployment in deployments
            if _stranger(model_root, deployment)
        ]
        return f"taken by another program: {', '.join(taken)}" if taken else True


class PrefectApi(Check):
    """The Prefect server that PREFECT_API_URL names answers."""

    mend = "unset PREFECT_API_URL   (towpath then runs a server of its own)"

    @staticmethod
    def check(environ: Mapping[str, str]) -> Finding:
        """Flows report to it; without it no flow runs."""
        address = environ.get("PREFECT_API_URL")
        if not address:
            return None
        headers = {"Authorization": f"Bearer {key}"} if (key := environ.get("PREFECT_API_KEY")) else {}
        return _get(f"{address.rstrip('/')}/health", headers) or f"{address} does not answer"


class MlflowServer(Check):
    """The MLflow server that MLFLOW_TRACKING_URI names answers."""

    mend = "unset MLFLOW_TRACKING_URI   (towpath then keeps a SQLite file below .towpath/)"

    @staticmethod
    def check(environ: Mapping[str, str]) -> Finding:
        """It holds every release; without it nothing is registered, promoted or fetched."""
        address = environ.get("MLFLOW_TRACKING_URI", "")
        if not address.startswith(("http://", "https://")):
            return None
        return _get(f"{address.rstrip('/')}/health", {}) or f"{address} does not answer"


class DaskCluster(Check):
    """The Dask cluster that model.yaml names can be reached."""

    mend = "pip install 'towpath[dask]', and start the scheduler   (or take train.cluster out of model.yaml)"

    @staticmethod
    def check(model_root: Path) -> Finding:
        """Trials and fits run on its workers; without it no model is trained."""
        from towpath_flows.cluster import address_of  # noqa: PLC0415 (needs the training libraries' room)
        from towpath_flows.spec import load_spec  # noqa: PLC0415 (as above)

        try:
            cluster = load_spec(model_root).train.cluster
        except TowpathError:
            return None  # the check of model.yaml says so
        if cluster is None:
            return None
        if find_spec("distributed") is None:
            return "Dask is not installed"
        address = address_of(cluster)
        return address is None or _listens(address) or f"nothing listens at {address}"


def _listens(address: str) -> bool:
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


def _stranger(root: Path, deployment: Deployment) -> bool:
    """Return whether somebody listens on the deployment's port who is not its service."""
    try:
        socket.create_connection(("127.0.0.1", deployment.target.port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return TARGETS[deployment.target.kind](Repository(root), deployment).observe().version is None


def _get(address: str, headers: Mapping[str, str]) -> bool:
    try:
        with urlopen(Request(address, headers=dict(headers)), timeout=PATIENCE_S) as answer:  # noqa: S310 (the user's own server, from the user's own environment)
            return bool(answer.status == 200)  # noqa: PLR2004 (HTTP's OK)
    except (URLError, OSError, ValueError):
        return False
