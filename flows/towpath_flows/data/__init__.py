"""From bytes on a disk to three tables that are fit to train, tune and judge a model."""

from towpath_flows.data.contract import ContractReport, Validated, validate
from towpath_flows.data.quality import inspect
from towpath_flows.data.sources import Table, load
from towpath_flows.data.splits import Splits, split

__all__ = ["ContractReport", "Splits", "Table", "Validated", "inspect", "load", "split", "validate"]
