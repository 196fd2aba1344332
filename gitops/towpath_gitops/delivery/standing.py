"""How one environment stands: what main declares, what serves, how it fares, and where one could go back to now.

Everything but the service itself is read from git and from this clone: neither a registry nor a forge that is away
keeps anybody waiting for the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from towpath_gitops.delivery.athand import NOT_HERE, AtHand
from towpath_gitops.delivery.declared import read_deployment
from towpath_gitops.delivery.desired import desired
from towpath_gitops.delivery.ledger import Entry, Event, Ledger
from towpath_gitops.delivery.observations import Observations
from towpath_gitops.delivery.recording import aliases_of
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.delivery.shifted import Shift, standing_shift
from towpath_gitops.delivery.targets import TARGETS
from towpath_gitops.delivery.targets.base import MakeTarget, Observed
from towpath_gitops.delivery.windows import Judgement, judge, windows
from towpath_gitops.errors import InvalidFileError, LedgerError, NotFoundError, RefusedError, TowpathError
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion.branches import place_of
from towpath_gitops.promotion.desk import Desk
from towpath_gitops.promotion.safety import Return, safe_returns
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.policy import Policy


class State(StrEnum):
    """How an environment stands, in one word or two."""

    SERVING = "serving"  # what main declares, by all workers
    DIVERGED = "DIVERGED"  # something else than main declares
    CONVERGING = "converging"
    NOT_RUNNING = "not running"
    UNDECLARED = "nothing declared"
    NO_FILE = "no file"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Standing:
    """How one model stands in one environment. What could not be found out is None or empty, and said in `problem`."""

    environment: str
    model: str
    deployment: Deployment | None = None  # None: main has no file that can be read
    observed: Observed = field(default_factory=lambda: Observed(running=False))
    shift: Shift | None = None  # the guard's, while it stands
    since: datetime | None = None  # when what serves was put there
    verified: Entry | None = None  # the latest verification of what serves
    judgement: Judgement | None = None  # the guard's, by the last windows; None where nothing is guarded
    pulls: tuple[Pull, ...] = ()  # open for this environment
    returns: tuple[Return, ...] = ()  # earlier releases, those to return to first
    problem: str = ""
    unknown: State | None = None  # why main does not say what should serve; whatever runs was left alone

    @property
    def served(self) -> str | None:
        """The id of the release that the service says it is."""
        return self.observed.version.release if self.observed.version else None

    @property
    def declared(self) -> str | None:
        """The id of the release that main declares."""
        return self.deployment.release.id if self.deployment and self.deployment.release else None

    @property
    def state(self) -> State:
        """The standing in one word."""
        if self.unknown:
            return self.unknown
        if self.declared is None:
            return State.UNDECLARED if self.served is None else State.DIVERGED
        if self.served is None:
            return State.CONVERGING if self.observed.version else State.NOT_RUNNING
        if self.served != self.declared:
            return State.DIVERGED
        return State.SERVING if self.observed.version and self.observed.version.converged else State.CONVERGING


def standing(  # noqa: PLR0913 (what a test must be able to replace is named, not patched)
    desk: Desk,
    registry: Registry,
    policy: Policy,
    environment: str,
    model: str,
    *,
    now: datetime,
    pulls: Sequence[Pull] = (),
    targets: Mapping[str, MakeTarget] = TARGETS,
) -> Standing:
    """Return how `model` stands in `environment`, by main as last fetched and the service as it answers now.

    `pulls` are the open pull requests, of all environments.
    """
    try:
        found = desired(desk.repository, environment, model, accept_rewritten=True)
    except NotFoundError as error:
        return Standing(environment, model, problem=error.what, unknown=State.NO_FILE)
    except InvalidFileError as error:
        return Standing(environment, model, problem=str(error), unknown=State.UNREADABLE)
    except (LedgerError, RefusedError) as error:  # what serves can be told nevertheless
        return _without_ledger(desk, environment, model, str(error), targets)
    observed = targets[found.deployment.target.kind](desk.repository, found.deployment).observe()
    here = tuple(pull for pull in pulls if (place := place_of(pull.branch)) and place[1:] == (environment, model))
    ledger = Ledger(desk.repository)
    shift = standing_shift(desk.repository, found.declared) if found.declared else None
    serves = shift.to.release.id if shift else found.declared.release.id if found.declared else None
    return Standing(
        environment,
        model,
        found.deployment,
        observed,
        shift,
        _since(ledger, environment, model, observed),
        ledger.last_verified(environment, model, serves) if serves else None,
        _judged(desk, policy, environment, model, serves, found.commit, now),
        here,
        _returns(desk, registry, found.deployment),
    )


def disagreements(
    policy: Policy, environment: str, deployment: Deployment | None, aliases: Mapping[str, int]
) -> list[str]:
    """Return in words where the registry's aliases do not name what main declares; nothing obeys them, people do."""
    pinned = deployment.release if deployment else None
    found = []
    for name in aliases_of(policy, environment):
        wanted, said = pinned.version if pinned else None, aliases.get(name)
        if wanted != said:
            says = f"version {said}" if said else "nothing"
            declares = f"version {wanted}" if wanted else "nothing"
            found.append(f"the registry's alias {name} names {says}, main declares {declares}")
    return found


def is_elsewhere(candidate: Return) -> bool:
    """Return whether all that is wrong with a way back is that its files would have to be fetched first."""
    return bool(candidate.reasons) and all(
        reason.rule == "artifact" and NOT_HERE in reason.what for reason in candidate.reasons
    )


def _without_ledger(
    desk: Desk, environment: str, model: str, problem: str, targets: Mapping[str, MakeTarget]
) -> Standing:
    try:
        deployment = read_deployment(desk.repository, desk.repository.main(), environment, model)
    except InvalidFileError as error:
        return Standing(environment, model, problem=str(error), unknown=State.UNREADABLE)
    if deployment is None:
        return Standing(environment, model, problem=problem, unknown=State.NO_FILE)
    observed = targets[deployment.target.kind](desk.repository, deployment).observe()
    return Standing(environment, model, deployment, observed, problem=problem)


def _since(ledger: Ledger, environment: str, model: str, observed: Observed) -> datetime | None:
    """Return when what serves now was put there; None when the ledger does not know that it was."""
    served = observed.version.release if observed.version else None
    applied, shifted = ledger.live(environment, model), ledger.last(environment, model, Event.SHIFTED)
    if applied and shifted and shifted.seq > applied.seq and shifted.to == served:
        return shifted.time
    return applied.time if applied and applied.release == served else None


def _judged(  # noqa: PLR0913, PLR0917 (what a judgement hangs on)
    desk: Desk, policy: Policy, environment: str, model: str, serves: str | None, commit: str, now: datetime
) -> Judgement | None:
    demands = policy.environment(environment)
    if demands is None or demands.guard is None or serves is None:
        return None
    kept = Observations.of(desk.repository.root, environment, model).read()
    return judge(windows(kept, "champion", serves, commit, now), demands.guard)


def _returns(desk: Desk, registry: Registry, deployment: Deployment) -> tuple[Return, ...]:
    at_hand = Desk(desk.repository, desk.forge, AtHand(registry, only_here=True), desk.history)
    try:
        return tuple(safe_returns(at_hand, deployment)) if deployment.release else ()
    except TowpathError:  # a ledger or a file that is broken is told of elsewhere
        return ()
