"""One large fit on the workers of a Dask cluster: one module for each library, one row in the table."""

from typing import Final

from towpath_flows.cluster import Cluster
from towpath_flows.training.trainers import TRAINERS
from towpath_flows.training.trainers.base import Trainer
from towpath_flows.training.trainers.clustered import lightgbm, xgboost
from towpath_flows.training.trainers.clustered.base import ClusterFit
from towpath_flows.training.trainers.clustered.trainer import ClusterTrainer
from towpath_flows.training_spec import Framework

__all__ = ["FITS", "trainer_on"]

FITS: Final[dict[Framework, ClusterFit]] = {"xgboost": xgboost, "lightgbm": lightgbm}


def trainer_on(cluster: Cluster | None, framework: Framework) -> Trainer:
    """Return the framework's trainer; one that fits on the workers where there is a cluster."""
    trainer = TRAINERS[framework]
    return trainer if cluster is None else ClusterTrainer(trainer, FITS[framework], cluster)
