"""From three tables to the files of a release: features, trainers, tuning, export."""

from towpath_flows.training.export import Exported, export
from towpath_flows.training.features import Features
from towpath_flows.training.fitting import fit
from towpath_flows.training.model import Model
from towpath_flows.training.trials import Trial, TuneResult
from towpath_flows.training.tuning import tune

__all__ = ["Exported", "Features", "Model", "Trial", "TuneResult", "export", "fit", "tune"]
