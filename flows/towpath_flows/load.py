"""Load a release beside today's champion on this machine, judge it, and publish the evidence."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from towpath_bento.load.plan import Contestant, Driven, Plan
from towpath_bento.load.services import Entrant, serving
from towpath_flows.cards import renew_card
from towpath_flows.evaluation.load import Origin, assess_load
from towpath_flows.evaluation.scoring import declared_champion
from towpath_flows.evidence_spec import LoadSpec
from towpath_flows.project import Project
from towpath_gitops import layout
from towpath_gitops.delivery.declared import Declared
from towpath_gitops.delivery.owners_code import fetch_reviewed
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import DeliveryError, MissingDependencyError, NotFoundError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.evidence import Evidence
from towpath_gitops.records.image import carries, digest_in, newest
from towpath_gitops.records.parsing import load_yaml, parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

SERVICE_FOLDER: Final = "bento"
CALLERS: Final = "locustfile.py"
REPORT: Final = "report.html"
NEWEST: Final = "newest"  # image on record
_NEEDED: Final = ("locust", "psutil", "pyarrow")

Progress = Callable[[int], None]  # is told the number of each round that is over


@dataclass(frozen=True)
class LoadTest:
    """A release under load, beside the champion of `project` where there is another one."""

    project: Project
    release: Release
    how: LoadSpec
    journal: Path | None = None
    image: str | None = None  # registry/name@sha256:… in which the release is driven, or `newest`

    def run(self, progress: Progress = lambda _: None, *, now: datetime | None = None) -> Evidence:
        """Start the services, drive them, judge, and publish the evidence with Locust's report beside it.

        With an image, the release is driven in it, and the champion in the image that main declares for it, if any.
        Whatever has no image, and the users in bento/locustfile.py, are of the commit that is checked out; the gates
        are those of model.yaml as it is now.

        Raises:
            MissingDependencyError: Locust is not installed, or podman where there is an image.
            DeliveryError: a release does not come to serve, or ends under load.
            UnavailableError, NotFoundError, DigestMismatchError: as the registry and the git remote say; the image is
                not on record.
        """
        _require()
        root = self.project.root
        registry, place = Registry(layout.tracking_uri(root)), report_folder(root, self.release)
        champion = declared_champion(root, self.project.spec.name)
        rival = champion if champion and champion.release.id != self.release.id else None
        repository = Repository.discover(root)
        entrants = _entrants(registry, repository, self.release, self._carried_by(registry), rival)
        commit = repository.head()
        with TemporaryDirectory(prefix="towpath-load-") as folder:
            code = Path(folder, SERVICE_FOLDER)
            repository.export(commit, SERVICE_FOLDER, code)
            driven = self._driven(entrants, code, place / REPORT, progress)
        origin = _origin(entrants, commit)
        assessment = assess_load(driven, self.project.spec.serve, rival.release.id if rival else None, origin=origin)
        document = load_yaml((root / layout.MODEL).read_text(encoding="utf-8"), source=layout.MODEL)
        evidence = assessment.bind(self.release, document, now or datetime.now(UTC))
        if driven.report is not None:
            registry.publish_report(self.release, evidence.kind, (place / REPORT).read_bytes())
        registry.publish_evidence(self.release, evidence)
        renew_card(registry, self.release, entrants[0].artifact)
        return evidence

    def _carried_by(self, registry: Registry) -> str | None:
        """Return the image in which the release is driven, which the registry must have on record."""
        if self.image is None:
            return None
        records = registry.images(self.release)
        found = newest(records) if self.image == NEWEST else self.image
        if found is None or carries(records, found) is None:
            short_id = self.release.short_id
            raise NotFoundError(
                f"There is no such image of {self.release} on record",
                why=f"The registry knows {len(records)} of it.",
                hint=f"towpath image build {short_id}, then: towpath image push {short_id} --to REGISTRY",
            )
        return found

    def _driven(self, entrants: list[Entrant], code: Path, report: Path, progress: Progress) -> Driven:
        folder = code.parent
        with serving(entrants, code, folder / "services", self.how.workers) as contestants:
            return drive(self._plan(contestants, code / CALLERS, report), folder / "driven.json", progress)

    def _plan(self, contestants: tuple[Contestant, ...], callers: Path, report: Path) -> Plan:
        how = self.how
        return Plan(
            contestants=contestants,
            rounds=how.rounds,
            paced_s=how.paced.total_seconds(),
            full_s=how.full.total_seconds(),
            rate=self.project.spec.serve.rate,
            users=how.users,
            workers=how.workers,
            shape=how.shape,
            journal=str(self.journal.absolute()) if self.journal else None,
            callers=str(callers) if callers.is_file() else None,
            report=str(report.absolute()),
        )


def report_folder(root: Path, release: Release) -> Path:
    """Return where the latest report about a release lies in this clone."""
    return layout.state(root, "load", release.short_id)


def drive(plan: Plan, target: Path, progress: Progress = lambda _: None) -> Driven:
    """Drive services in a process of its own, which Locust may patch; its result is written to `target` and returned.

    Raises:
        DeliveryError: it did not come to its end; with the last of what it said.
    """
    write_atomically(target.with_suffix(".plan"), plan.model_dump_json())
    with target.with_suffix(".plan").open("rb") as asked:
        process = subprocess.Popen(
            [sys.executable, "-m", "towpath_bento.load", str(target)],
            stdin=asked,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
    with process:
        try:
            said = _listen(process, progress)
        finally:
            process.kill()
    if process.returncode or not target.is_file():
        raise DeliveryError(
            "The load test did not come to its end", why="\n".join(said[-15:]), hint="Run it again, or: towpath doctor"
        )
    return parse_json(target.read_bytes(), Driven, source="the load test")


def _listen(process: "subprocess.Popen[str]", progress: Progress) -> list[str]:
    """Follow what the driver says until it ends; return the lines that tell of no round."""
    said: list[str] = []
    for line in process.stderr or ():
        word, _, number = line.strip().partition(" ")
        if word == "round" and number.isdecimal():
            progress(int(number))
        else:
            said.append(line.rstrip())
    process.wait()
    return said


def _entrants(
    registry: Registry, repository: Repository, release: Release, image: str | None, rival: Declared | None
) -> list[Entrant]:
    """Return who takes part; the champion in the image that main declares for it, when the challenger is in one."""
    found = [Entrant("challenger", release, fetch_reviewed(registry, repository, release), image)]
    if rival is not None:
        artifact = fetch_reviewed(registry, repository, rival.release)
        pinned = rival.deployment.release
        theirs = pinned.image if image and pinned else None
        found.append(Entrant("champion", rival.release, artifact, theirs))
        found.append(Entrant("twin", rival.release, artifact, theirs))
    return found


def _origin(entrants: list[Entrant], commit: str) -> Origin:
    digests = {each.role: digest_in(each.image) if each.image else None for each in entrants}
    return Origin(commit if None in digests.values() else None, digests["challenger"], digests.get("champion"))


def _require() -> None:
    absent = [name for name in _NEEDED if find_spec(name) is None]
    if absent:
        raise MissingDependencyError(
            f"A load test needs {', '.join(absent)}",
            why="Towpath installs only what a machine's job needs.",
            hint="pip install 'towpath[load]'",
        )
