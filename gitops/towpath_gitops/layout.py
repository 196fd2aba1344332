"""Where things lie in a model repository: pure functions of names, so that no room spells a path twice."""

import os
from pathlib import Path

MODEL = "model.yaml"
GITOPS = "gitops"
POLICY = "gitops/policy.yaml"
ENVIRONMENTS = "gitops/environments"
EVIDENCE = "gitops/evidence"
SIGNATURES = "gitops/signatures"
LOCK = "requirements.txt"  # every dependency with its hashes
CODEOWNERS = ".github/CODEOWNERS"
STATE = ".towpath"  # local state, never committed


def environment_path(environment: str, model: str) -> str:
    """Return the path, from the repository's root, of the file that says what `environment` runs of `model`."""
    return f"{ENVIRONMENTS}/{environment}/{model}.yaml"


def evidence_folder(short_id: str) -> str:
    """Return the folder of the evidence that was committed with the release called `short_id`."""
    return f"{EVIDENCE}/{short_id}"


def evidence_path(short_id: str, kind: str) -> str:
    """Return the path of one kind of evidence of the release called `short_id`."""
    return f"{evidence_folder(short_id)}/{kind}.json"


def signature_path(short_id: str) -> str:
    """Return the path of the signature that was committed with the release called `short_id`."""
    return f"{SIGNATURES}/{short_id}.sig"


def picture_path(short_id: str, name: str) -> str:
    """Return the path of a picture drawn from the evidence of the release called `short_id`."""
    return f"{evidence_folder(short_id)}/{name}"


def state(root: Path, *parts: str) -> Path:
    """Return a path below the repository's local, git-ignored state."""
    return root.joinpath(STATE, *parts)


def store(root: Path) -> Path:
    """Return the content-addressed store of artifacts that were fetched and checked."""
    return state(root, "store")


def local_target(root: Path, environment: str, model: str) -> Path:
    """Return the folder from which the local target runs `model` in `environment`."""
    return state(root, "local", environment, model)


def journal(root: Path, environment: str, model: str) -> Path:
    """Return the folder in which the local service of `model` in `environment` remembers its answers."""
    return local_target(root, environment, model) / "journal"


def mlartifacts(root: Path) -> Path:
    """Return where MLflow keeps artifacts when it runs without a server."""
    return state(root, "mlartifacts")


def artifact_root(root: Path) -> str:
    """Return where artifacts go without a server that says so: `MLFLOW_DEFAULT_ARTIFACT_ROOT` (s3://…), or beside."""
    return os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT") or mlartifacts(root).resolve().as_uri()


def tracking_uri(root: Path) -> str:
    """Return MLflow's address: `MLFLOW_TRACKING_URI`, or else a SQLite file in the repository's local state."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state(root, 'mlflow.db').resolve()}"
