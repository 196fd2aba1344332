"""Faults injected on purpose, each to prove that its gate refuses it."""

from typing import Final

from towpath_ci.drills.altered_artifact import AlteredArtifact
from towpath_ci.drills.asked_by_id import CrowdedMemory, ExchangedRelease, UnservedRelease
from towpath_ci.drills.base import Drill
from towpath_ci.drills.behaviour import UnrulyModel
from towpath_ci.drills.behaviour_answers import (
    CompanyModel,
    DeafModel,
    ForbiddenColumn,
    MisshapenAnswers,
    MoodyModel,
    PlacedColumns,
    QueueingModel,
    RawScores,
)
from towpath_ci.drills.behaviour_keeping import CoarselyKeptModel, RememberingModel, SlowModel
from towpath_ci.drills.behaviour_robustness import (
    ClosedModel,
    ExtrapolatingModel,
    LogarithmicModel,
    OverflowingModel,
    UnimputedModel,
)
from towpath_ci.drills.behaviour_sensitivity import ContraryModel, MisreadUnits, NervousModel
from towpath_ci.drills.breaking_challenger import BreakingChallenger
from towpath_ci.drills.broken_schema import BrokenSchema
from towpath_ci.drills.changed_gates import ChangedGates
from towpath_ci.drills.closed_proposal import ClosedProposal
from towpath_ci.drills.deleted_environment import DeletedEnvironment
from towpath_ci.drills.disguised_promotion import DisguisedPromotion
from towpath_ci.drills.edited_ledger import EditedLedger
from towpath_ci.drills.edited_picture import EditedPicture
from towpath_ci.drills.expired_evidence import ExpiredEvidence
from towpath_ci.drills.foreign_evidence import ForeignEvidence
from towpath_ci.drills.foreign_image import ForeignChallenger, ForeignImage
from towpath_ci.drills.forged_approval import ForgedApproval
from towpath_ci.drills.forged_evidence import ForgedEvidence
from towpath_ci.drills.forged_load_record import ForgedLoadRecord
from towpath_ci.drills.frozen_environment import FrozenEnvironment
from towpath_ci.drills.future_evidence import FutureEvidence
from towpath_ci.drills.half_written_file import HalfWrittenFile
from towpath_ci.drills.harmful_release import HarmfulRelease
from towpath_ci.drills.later_demand import LaterDemand
from towpath_ci.drills.leaky_model import LeakyModel
from towpath_ci.drills.lonely_hotfix import LonelyHotfix
from towpath_ci.drills.losing_model import LosingModel
from towpath_ci.drills.lost_artifact import LostArtifact
from towpath_ci.drills.missing_evidence import MissingEvidence
from towpath_ci.drills.moved_main import MovedMain
from towpath_ci.drills.moved_traffic import MovedTraffic
from towpath_ci.drills.native_release import NativeRelease, UnmergedCode
from towpath_ci.drills.odd_features import (
    ConstantFeature,
    CopiedFeature,
    EmptyFeature,
    ExplodingColumn,
    SkewedServing,
)
from towpath_ci.drills.open_rival import OpenRival
from towpath_ci.drills.overload import EndlessHead, StackedBodies, TooManyCallers
from towpath_ci.drills.own_code import AlteredCode, UnreviewedCode
from towpath_ci.drills.owners_fields import OwnersFields
from towpath_ci.drills.revoked_verification import RevokedVerification
from towpath_ci.drills.rewritten_hold import RewrittenHold
from towpath_ci.drills.rollback import RehearsedRollback
from towpath_ci.drills.shortened_ledger import ShortenedLedger
from towpath_ci.drills.silent_service import SilentService
from towpath_ci.drills.skipped_soak import SkippedSoak
from towpath_ci.drills.sluggish_release import SluggishRelease
from towpath_ci.drills.smuggled_experiment import SmuggledExperiment
from towpath_ci.drills.smuggled_file import SmuggledFile
from towpath_ci.drills.stale_approval import StaleApproval
from towpath_ci.drills.stale_swap import StaleSwap
from towpath_ci.drills.strangers_signature import StrangersSignature
from towpath_ci.drills.swapped_evidence import SwappedEvidence
from towpath_ci.drills.unfit_data import (
    BrokenFeed,
    ChangedUnit,
    CopiedTarget,
    CopiedTestRows,
    FutureValue,
    LostValues,
    NewCategories,
    OldRows,
    RepeatedNames,
    RepeatedRows,
    ShortDelivery,
)
from towpath_ci.drills.unfollowed_main import EmptiedMain, LinkedEnvironment, RewrittenHistory, StaleLeader
from towpath_ci.drills.uninvited_hotfix import UninvitedHotfix
from towpath_ci.drills.unknown_environment import UnknownEnvironment
from towpath_ci.drills.unloaded_image import UnloadedImage
from towpath_ci.drills.unproven_caller import ExpiredToken, TokenForAnother, UnsignedToken
from towpath_ci.drills.unsafe_rollback import UnsafeRollback
from towpath_ci.drills.unsigned_release import UnsignedRelease
from towpath_ci.drills.unverified_upstream import UnverifiedUpstream
from towpath_ci.drills.weaker_model import WeakerModel
from towpath_ci.drills.worse_model import WorseModel
from towpath_ci.drills.wrong_champion import WrongChampion

# One row for each drill. The last ones put releases into service, which the others do without.
DRILLS: Final[tuple[type[Drill], ...]] = (
    BrokenSchema,
    LeakyModel,
    CopiedTarget,
    FutureValue,
    CopiedTestRows,
    RepeatedRows,
    RepeatedNames,
    LostValues,
    ChangedUnit,
    NewCategories,
    ShortDelivery,
    OldRows,
    BrokenFeed,
    ConstantFeature,
    CopiedFeature,
    EmptyFeature,
    ExplodingColumn,
    SkewedServing,
    MovedTraffic,
    WorseModel,
    LosingModel,
    UnrulyModel,
    MisshapenAnswers,
    RawScores,
    DeafModel,
    MoodyModel,
    QueueingModel,
    CompanyModel,
    PlacedColumns,
    ForbiddenColumn,
    ContraryModel,
    UnimputedModel,
    ClosedModel,
    OverflowingModel,
    LogarithmicModel,
    ExtrapolatingModel,
    MisreadUnits,
    NervousModel,
    RememberingModel,
    CoarselyKeptModel,
    SlowModel,
    ExpiredEvidence,
    StaleApproval,
    ForgedApproval,
    ForgedEvidence,
    MissingEvidence,
    EditedPicture,
    OwnersFields,
    SmuggledFile,
    DeletedEnvironment,
    HalfWrittenFile,
    StaleSwap,
    SwappedEvidence,
    SmuggledExperiment,
    RewrittenHold,
    DisguisedPromotion,
    ForeignEvidence,
    FutureEvidence,
    WrongChampion,
    OpenRival,
    ChangedGates,
    LaterDemand,
    UnknownEnvironment,
    MovedMain,
    FrozenEnvironment,
    ClosedProposal,
    AlteredArtifact,
    AlteredCode,
    UnreviewedCode,
    NativeRelease,
    UnmergedCode,
    UnsignedRelease,
    ForeignImage,
    TokenForAnother,
    ExpiredToken,
    UnsignedToken,
    WeakerModel,
    SluggishRelease,
    ForgedLoadRecord,
    UnloadedImage,
    TooManyCallers,
    StackedBodies,
    EndlessHead,
    UnservedRelease,
    ExchangedRelease,
    CrowdedMemory,
    UnverifiedUpstream,
    UninvitedHotfix,
    LonelyHotfix,
    BreakingChallenger,
    ForeignChallenger,
    SkippedSoak,
    RevokedVerification,
    UnsafeRollback,
    LostArtifact,
    RehearsedRollback,
    SilentService,
    HarmfulRelease,
    StrangersSignature,
    EditedLedger,
    ShortenedLedger,
    RewrittenHistory,
    LinkedEnvironment,
    EmptiedMain,
    StaleLeader,
)
