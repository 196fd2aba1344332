"""The card of a release as it is published beside its artifact, whose own card is timeless.

It says what would change the artifact's bytes: which release it became, the gates of the day, what training cost, how
it served under load, and which releases came before.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from towpath_gitops.delivery.registry import Registry
from towpath_gitops.promotion import dossier, pages
from towpath_gitops.promotion.dossier import Judged, Past
from towpath_gitops.promotion.pages import Section
from towpath_gitops.records.artifact import CARD_HTML, CARD_MARKDOWN
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.release import Release

SHOWN: Final = 10  # releases in a version history
_OF_A_DAY: Final = dossier.OF_A_DAY | {Kind.LOAD}


def published(
    folder: Path, release: Release, judged: Sequence[Judged], cost: Mapping[str, float], past: Sequence[Past]
) -> Iterator[tuple[str, str]]:
    """Yield name and text of each card in an artifact's folder, with the sections that are not in it."""
    facts = {"release": release.id, "version": str(release.version), "semver": release.semver}
    evidence = {each.kind: each for each in judged if isinstance(each, Evidence)}
    sections = [
        Section("Which release", facts=facts),
        *dossier.gates([each for each in judged if each.kind in _OF_A_DAY], "Gates of the day"),
        *dossier.cost(cost),
        *dossier.under_load(evidence),
        *dossier.history(past, release.id),
    ]
    for name, extend in ((CARD_MARKDOWN, pages.extended_markdown), (CARD_HTML, pages.extended)):
        card = folder / name
        if card.is_file():
            yield name, extend(card.read_text(encoding="utf-8"), sections)


def renew_card(registry: Registry, release: Release, folder: Path) -> None:
    """Publish the card again with the evidence of now; `folder` holds the release's checked artifact.

    Raises:
        UnavailableError: the registry does not answer.
    """
    judged = [each for kind, each in registry.evidence(release).items() if kind in _OF_A_DAY]
    known = [each for each in registry.releases(release.model) if each.version <= release.version]
    past = [Past(each, registry.metrics(each)) for each in known[:SHOWN]]
    for name, text in published(folder, release, judged, registry.metrics(release), past):
        registry.publish_card(release, name, text)
