"""`model.yaml` and `schema.py` from an owner's table: looked at, tried, and written with a reason for each line."""

from towpath_flows.inference.inferring import Inference, Wishes, infer, write

__all__ = ["Inference", "Wishes", "infer", "write"]
