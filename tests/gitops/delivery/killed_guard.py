"""Look once, and be killed before an effect: `killed_guard.py ROOT TRACKING_URI MODEL EFFECT COMMAND…`."""

import os
import signal
import sys
from pathlib import Path

from towpath_gitops.delivery.guard import guard
from towpath_gitops.delivery.ledger import Ledger
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.targets.local import LocalTarget
from towpath_gitops.forges.local import LocalForge
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.repository import Repository

root, tracking_uri, model, fatal, *command = sys.argv[1:]


def make_target(repository: Repository, deployment: Deployment) -> LocalTarget:
    """Return a target that runs the command."""
    target = LocalTarget.of(repository, deployment)
    target.command = command
    return target


def die(effect: str) -> None:
    """End without any last word."""
    if effect == fatal:
        os.kill(os.getpid(), signal.SIGKILL)


repository, registry = Repository(Path(root)), Registry(tracking_uri)
desk = Desk(repository, LocalForge(repository), registry, Ledger(repository))
guard(desk, registry, "staging", model, targets={"local": make_target}, progress=die)
