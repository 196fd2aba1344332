"""Pictures in git: what a proposal writes beside its evidence, and what review holds against it."""

from collections.abc import Iterator, Mapping

from towpath_gitops import layout
from towpath_gitops.promotion.pictures import PICTURES, draw
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository


def paths(release: Release) -> dict[str, str]:
    """Return where every picture of a release would lie: name → path."""
    return {name: layout.picture_path(release.short_id, name) for name in PICTURES}


def edits(
    repository: Repository, main: str, release: Release, evidence: Mapping[Kind, Evidence]
) -> dict[str, bytes | None]:
    """Return the files that a proposal writes; what main holds and the evidence no longer gives is removed."""
    drawn = draw(evidence)
    held = {name: path for name, path in paths(release).items() if repository.read_bytes(main, path) is not None}
    return {path: drawn.get(name) for name, path in paths(release).items() if name in drawn or name in held}


def retouched(
    repository: Repository, merged: str, release: Release, evidence: Mapping[Kind, Evidence]
) -> Iterator[Reason]:
    """Object to pictures in the commit `merged` that are not, byte for byte, what its evidence gives."""
    drawn = draw(evidence)
    wrong = [name for name, path in paths(release).items() if repository.read_bytes(merged, path) != drawn.get(name)]
    if wrong:
        yield Reason(
            rule="pictures",
            what=f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not as drawn from the evidence",
            mend="Propose it again; nobody touches pictures up.",
        )
