"""What the story's verbs import sooner or later; importing this module loads it all."""

from importlib import import_module

import towpath_ci.workspace
import towpath_gitops.delivery.reconcile
import towpath_gitops.promotion.proposal
import towpath_gitops.promotion.review
from towpath_gitops.delivery.registry import load_mlflow

__all__ = ["load_mlflow", "towpath_ci", "towpath_gitops"]

load_mlflow()
for store in ("tracking", "model_registry"):
    import_module(f"mlflow.store.{store}.sqlalchemy_store")
