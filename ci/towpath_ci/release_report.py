"""All that is known about one release as one page: evidence, card, lineage, cost, history, and where it serves."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from towpath_gitops.promotion import dossier
from towpath_gitops.promotion.dossier import Past
from towpath_gitops.promotion.pages import Section, marked
from towpath_gitops.records.artifact import CARD_HTML, SIGNATURE
from towpath_gitops.records.evidence import Evidence, Kind, Verdict
from towpath_gitops.records.importance import FILE as IMPORTANCE
from towpath_gitops.records.importance import Importance
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

# In the order in which a reader asks: kinds whose figures have sections of their own come first.
_ORDER: Final = (*(kind for kind in Kind if kind is not Kind.BEHAVIOUR), Kind.BEHAVIOUR)
_IMAGE: Final = re.compile(r"<img alt='([^'<>]{1,200})' src='(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+)'>")


@dataclass(frozen=True)
class Known:
    """What was gathered about a release: `artifact` is a folder whose digest was checked, `past` begins with itself."""

    release: Release
    evidence: Mapping[Kind, Evidence]
    artifact: Path
    metrics: Mapping[str, float]
    past: Sequence[Past]
    places: Sequence[str]

    @property
    def title(self) -> str:
        """The page's title."""
        return f"{self.release.model} {self.release.semver}: everything that is known"

    @property
    def judged(self) -> list[Evidence]:
        """The evidence in the order of the page."""
        return [self.evidence[kind] for kind in _ORDER if kind in self.evidence]

    @property
    def verdict(self) -> Verdict:
        """The gravest verdict of all evidence; error where there is none."""
        return Verdict.worst(each.verdict for each in self.judged)

    def sections(self) -> list[Section]:
        """Return the page."""
        return list(self._sections())

    def plain(self) -> dict[str, Any]:
        """Return what was gathered as JSON types."""
        return {
            "release": {"id": self.release.id, **self.release.plain()},
            "verdict": self.verdict.value,
            "environments": list(self.places),
            "evidence": {kind.value: each.plain() for kind, each in self.evidence.items()},
            "metrics": dict(self.metrics),
        }

    def _sections(self) -> Iterator[Section]:
        yield self._summary()
        yield from dossier.gates(self.judged)
        yield from dossier.measures(self.judged)
        images = card_pictures(self.artifact)
        if images:
            yield Section("Pictures", images=images)
        yield from dossier.comparison(self.evidence)
        yield from dossier.under_load(self.evidence)
        found = _importance(self.artifact)
        if found is not None and found.columns:
            yield dossier.importance(found)
        yield from dossier.behaviour(self.judged)
        yield self._lineage()
        yield from dossier.cost(self.metrics)
        yield from dossier.history(self.past, self.release.id)
        yield self._statements()

    def _summary(self) -> Section:
        signature = parse_json((self.artifact / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
        facts = {
            "verdict": marked(self.verdict),
            "release": self.release.id,
            "version": f"{self.release.version} (semantic version {self.release.semver})",
            "task": f"{signature.task}, target {signature.target}",
            "serves in": ", ".join(self.places) or "no environment",
        }
        if signature.costs is not None:
            facts["decides by"] = "the least expected cost"
        if signature.threshold is not None:
            facts["decides from"] = f"a probability of {signature.threshold:g}"
        missing = [kind.value for kind in Kind if kind not in self.evidence]
        if missing:
            facts["no evidence yet"] = ", ".join(missing)
        return Section("In short", facts=facts)

    def _lineage(self) -> Section:
        release = self.release
        return Section(
            "Lineage",
            (),
            facts={
                "data": release.data,
                "code": release.code,
                "schema": release.input_schema,
                "artifact": release.artifact,
            },
        )

    def _statements(self) -> Section:
        rows = tuple(
            (
                each.kind.value,
                marked(each.verdict),
                f"{each.created:%Y-%m-%d %H:%M}",
                each.environment or "training",
                each.tool,
                each.digest.removeprefix("sha256:")[:12],
            )
            for each in self.judged
        )
        words = ("Each is a dated statement about this very release; a promotion names the digests that it rests on.",)
        return Section("Evidence", words, ("kind", "verdict", "dated", "measured in", "by", "digest"), rows)


def card_pictures(artifact: Path) -> dict[str, str]:
    """Return the pictures of the release's card (what they show → data address); none where it has no card."""
    path = artifact / CARD_HTML
    if not path.is_file():
        return {}
    return {html.unescape(name): data for name, data in _IMAGE.findall(path.read_text(encoding="utf-8"))}


def _importance(artifact: Path) -> Importance | None:
    path = artifact / IMPORTANCE
    return parse_json(path.read_bytes(), Importance, source=IMPORTANCE) if path.is_file() else None
