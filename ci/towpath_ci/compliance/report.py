"""The report: who is asked, what was found, and the gaps first. How it looks is the business of `pages`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from towpath_ci.compliance.base import Control, Judgement, State, judge, moment
from towpath_ci.compliance.changes import CHANGES
from towpath_ci.compliance.standing import STANDING
from towpath_gitops.delivery.audit import audit
from towpath_gitops.delivery.ledger import REF, Ledger
from towpath_gitops.delivery.tenure import Tenure, tenures
from towpath_gitops.delivery.testimony import History, Place
from towpath_gitops.forges.base import Safeguards
from towpath_gitops.promotion import declared

NOTE: Final = (
    "This page maps what git holds to provisions of public frameworks. It is no certificate, no legal advice, and no "
    "statement that an obligation applies or is met: articles of the EU AI Act bind providers and deployers of "
    "high-risk systems, NIST's framework is voluntary, and a SOC 2 report is an auditor's. A control counts as met "
    "only where evidence is named; what is missing is printed as a gap."
)


@dataclass(frozen=True)
class ChangeReport:
    """One change of the environment, and how it stands with each control."""

    tenure: Tenure
    judgements: tuple[Judgement, ...]

    @property
    def title(self) -> str:
        """Name the change: the release, and what was done with it."""
        return f"{self.tenure.subject.semver} ({self.tenure.subject.short_id})"

    @property
    def period(self) -> str:
        """Say from when until when it served."""
        until = moment(self.tenure.until) if self.tenure.until else "now"
        return f"{moment(self.tenure.applied.time)} – {until}"  # noqa: RUF001 (a dash between two moments)


@dataclass(frozen=True)
class Report:
    """All that the page says."""

    place: Place
    made: datetime
    main: str
    ledger: str | None
    standing: tuple[Judgement, ...]
    changes: tuple[ChangeReport, ...]

    @property
    def title(self) -> str:
        """Name the page."""
        return f"{self.place.model} in {self.place.environment}: controls and evidence"

    @property
    def gaps(self) -> list[tuple[str, Judgement]]:
        """Return where each gap is, and the gap: first those of the repository, then those of each change."""
        found = [("the repository", judgement) for judgement in self.standing]
        found += [(change.title, judgement) for change in self.changes for judgement in change.judgements]
        return [(where, judgement) for where, judgement in found if judgement.finding.state is State.GAP]

    def count(self, state: State) -> int:
        """Return how many judgements came out so."""
        all_of_them = [*self.standing, *(each for change in self.changes for each in change.judgements)]
        return sum(judgement.finding.state is state for judgement in all_of_them)

    def facts(self) -> dict[str, str]:
        """Return what identifies the page, for its head."""
        return {
            "model": self.place.model,
            "environment": self.place.environment,
            "made": f"{moment(self.made)}, by towpath {version('towpath')}",
            "main": self.main,
            "ledger": self.ledger or "none",
        }

    def plain(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        changes = [
            {
                "release": change.tenure.subject.id,
                "semver": change.tenure.subject.semver,
                "change": change.tenure.declared.facts()["change"],
                "commit": change.tenure.declared.commit,
                "applied": change.tenure.applied.time.isoformat(),
                "until": change.tenure.until.isoformat() if change.tenure.until else None,
                "controls": [judgement.plain() for judgement in change.judgements],
            }
            for change in self.changes
        ]
        counts = {state.value: self.count(state) for state in State}
        return {
            **self.facts(),
            "counts": counts,
            "standing": [each.plain() for each in self.standing],
            "changes": changes,
        }


def report(ledger: Ledger, place: Place, safeguards: Callable[[], Safeguards | None], now: datetime) -> Report:
    """Judge every control for a place: from git alone, but for the forge's own rules.

    Raises:
        LedgerError: the ledger of the environment or of the one before cannot be read: there is nothing to report.
        NotFoundError: main has no policy.
    """
    repository = ledger.repository
    history = History(repository)
    policy = declared.policy(repository, history.main)
    own = tenures(history, ledger, place)
    before = policy.upstream(place.environment) if policy.environment(place.environment) else None
    upstream = tenures(history, ledger, Place(before.name, place.model)) if before else None
    shared: dict[str, Callable[[], Any]] = {
        "repository": lambda: repository,
        "main": lambda: history.main,
        "place": lambda: place,
        "policy": lambda: policy,
        "tenures": lambda: own,
        "upstream": lambda: upstream,
        "entries": lambda: ledger.entries(place.environment, place.model),
        "problems": lambda: audit(ledger),
        "safeguards": safeguards,
        "now": lambda: now,
    }
    changes = [ChangeReport(tenure, _judged(CHANGES, shared, tenure)) for tenure in own]
    tip = repository.tip(REF)
    return Report(place, now, history.main, tip, tuple(judge(STANDING, shared)), tuple(changes))


def _judged(
    controls: Sequence[type[Control]], shared: Mapping[str, Callable[[], Any]], tenure: Tenure
) -> tuple[Judgement, ...]:
    return tuple(judge(controls, {**shared, "tenure": lambda: tenure}))
