"""Evidence that nobody measured."""

from collections.abc import Sequence

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import MODEL, STAGING, Stage
from towpath_gitops import layout
from towpath_gitops.forges.base import Pull
from towpath_gitops.promotion import declared
from towpath_gitops.records.deployment import edited, parse_deployment
from towpath_gitops.records.evidence import Finding, Kind, Verdict, bundle_digest


class ForgedEvidence(Drill):
    """Evidence counts only as the registry holds it, however well it hangs together."""

    injected = "the author writes a better evaluation, and its digest wherever one is asked for"
    gate = "provenance"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Leave the evidence as it was measured."""
        return stage.reviewed(stage.good)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Forge it, and let the owner approve the forgery."""
        with stage.proposal(stage.good) as pull:
            _forge(stage, pull)
            stage.approve(pull)
            return stage.review(pull)


def _forge(stage: Stage, pull: Pull) -> None:
    repository, release = stage.repository, stage.good
    evidence = declared.evidence(repository, pull.head, release.id)
    finding = Finding(gate="roc_auc", verdict=Verdict.PASS, message="It is perfect", measured=1.0)
    evidence = {**evidence, Kind.EVALUATION: evidence[Kind.EVALUATION].model_copy(update={"findings": (finding,)})}
    path = layout.environment_path(STAGING, MODEL)
    text = repository.read(pull.head, path) or ""
    deployment = parse_deployment(text, source=path)
    assert deployment.change is not None  # noqa: S101 (narrows the type: a proposal always has a change)
    change = deployment.change.model_copy(update={"evidence": bundle_digest(evidence.values())})
    files = {
        path: edited(text, deployment.model_copy(update={"change": change}), source=path).encode(),
        layout.evidence_path(release.short_id, Kind.EVALUATION): evidence[Kind.EVALUATION]
        .model_dump_json(by_alias=True)
        .encode(),
    }
    forged = repository.commit([pull.head], pull.head, files, "Measure again\n")
    repository.push(forged, f"refs/heads/{pull.branch}", pull.head)
