"""Trainers: one module for each library that grows trees, one row in the table."""

from typing import Final

from towpath_flows.spec import Framework
from towpath_flows.training.trainers import lightgbm, xgboost
from towpath_flows.training.trainers.base import Data, Fitted, OnRound, Params, Setting, Trainer

__all__ = ["TRAINERS", "Data", "Fitted", "OnRound", "Params", "Setting", "Trainer"]

TRAINERS: Final[dict[Framework, Trainer]] = {"xgboost": xgboost, "lightgbm": lightgbm}
