"""Faults injected on purpose, each to prove that its gate refuses it."""

from typing import Final

from towpath_ci.drills.altered_artifact import AlteredArtifact
from towpath_ci.drills.base import Drill
from towpath_ci.drills.broken_schema import BrokenSchema
from towpath_ci.drills.expired_evidence import ExpiredEvidence
from towpath_ci.drills.forged_approval import ForgedApproval
from towpath_ci.drills.forged_evidence import ForgedEvidence
from towpath_ci.drills.leaky_model import LeakyModel
from towpath_ci.drills.rollback import RehearsedRollback
from towpath_ci.drills.stale_approval import StaleApproval
from towpath_ci.drills.weaker_model import WeakerModel
from towpath_ci.drills.worse_model import WorseModel

# One row for each drill. The last ones put releases into service, which the others do without.
DRILLS: Final[tuple[type[Drill], ...]] = (
    BrokenSchema,
    LeakyModel,
    WorseModel,
    ExpiredEvidence,
    StaleApproval,
    ForgedApproval,
    ForgedEvidence,
    AlteredArtifact,
    WeakerModel,
    RehearsedRollback,
)
