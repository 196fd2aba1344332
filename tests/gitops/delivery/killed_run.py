"""Reconcile, and be killed at the beginning of a step: `killed_run.py ROOT TRACKING_URI MODEL STEP COMMAND…`."""

import os
import signal
import sys
from pathlib import Path

from towpath_gitops.delivery.reconcile import reconcile
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.repository import Repository

root, tracking_uri, model, fatal, *command = sys.argv[1:]


def make_target(repository: Repository, deployment: Deployment) -> LocalTarget:
    """Return a target that runs the command."""
    target = LocalTarget.of(repository, deployment)
    target.command = command
    return target


def die(step: str) -> None:
    """End without any last word."""
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)


reconcile(
    Repository(Path(root)),
    Registry(tracking_uri),
    "staging",
    model,
    targets={"local": make_target},
    deadline_s=60.0,
    progress=die,
)
