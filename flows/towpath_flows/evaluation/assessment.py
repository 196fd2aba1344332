"""`Assessment`: what was found about a model before it has a release id; registration binds it as evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict, gate_digest
from towpath_gitops.records.release import Release

LONGEST_LINE: Final = 500  # characters of a finding's message


def one_line(words: str) -> str:
    """Return the words as a finding can hold them: values of data, and what libraries raise, may hold anything."""
    return "".join(letter if letter.isprintable() else " " for letter in words)[:LONGEST_LINE]


@dataclass(frozen=True)
class Assessment:
    """Findings of one kind and the figures behind them (`details`, JSON types only)."""

    kind: Kind
    findings: tuple[Finding, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    champion: str | None = None

    @property
    def verdict(self) -> Verdict:
        """The gravest of the findings; error when there are none."""
        return Verdict.worst(finding.verdict for finding in self.findings)

    def bind(self, release: Release, model_yaml: Mapping[str, Any], created: datetime) -> Evidence:
        """Return the evidence about `release`, judged by the gates of the parsed `model_yaml`."""
        return Evidence(
            kind=self.kind,
            model=release.model,
            release=release.id,
            gates=gate_digest(model_yaml, self.kind),
            data=release.data,
            champion=self.champion,
            created=created,
            findings=self.findings,
            details=dict(self.details),
        )
