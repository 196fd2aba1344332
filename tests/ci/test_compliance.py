# ruff: noqa: ANN401 (controls take what their arguments name)
"""The compliance page: each control both ways, nothing met without evidence, and a page that needs nothing else."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from towpath_ci.compliance import changes, standing
from towpath_ci.compliance.base import Control, Finding, State, judge, met
from towpath_ci.compliance.frameworks import FRAMEWORKS, NIST, cite
from towpath_ci.compliance.pages import markdown, page, provisions
from towpath_ci.compliance.report import NOTE, Report, report
from towpath_ci.drills.stage import AUTHOR, MODEL, PRODUCTION, STAGING, scaffold
from towpath_gitops import layout
from towpath_gitops.delivery.declared import declared_at
from towpath_gitops.delivery.ledger import REF, Event, Fact, Ledger
from towpath_gitops.delivery.testimony import Place
from towpath_gitops.errors import RefusedError
from towpath_gitops.forges.base import BranchRules, Safeguards
from towpath_gitops.promotion.change import promote, rollback
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import ChangeType, Deployment, edited, parse_deployment
from towpath_gitops.records.evidence import Evidence, Kind, Verdict, bundle_digest
from towpath_gitops.records.evidence import Finding as Measured
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository
from towpath_gitops.signers import PRIVATE, PUBLIC, PrivateKey, new_key_pair
from towpath_gitops.signing import sign

NOW = datetime.now(UTC)
KINDS = (Kind.DATA, Kind.EVALUATION, Kind.COMPARISON, Kind.BEHAVIOUR, Kind.PARITY)
FILES = {"model.onnx": digest_of("graph")}
HOSTILE = "<script>alert(1)</script> | `x` [a](http://evil.example) \"'"
RULES = BranchRules(
    pull_required=True,
    approvals=1,
    owners_approve=True,
    fresh_approvals=True,
    checks=("towpath review",),
    up_to_date=True,
    rewritable=False,
    deletable=False,
    bypassed_by=(),
)
SAFE = Safeguards(branch=RULES, codeowners_errors=(), environments=())


class Past:
    """A repository with a past, written by plumbing: what merges and reconciles leave behind, without their minutes."""

    def __init__(self, repository: Repository) -> None:
        """Begin with the drills' model repository."""
        self.repository = repository.acting_as(*AUTHOR)
        self.ledger = Ledger(self.repository)

    def release(self, version: int, **fields: Any) -> Release:
        """Return a release that this repository could have trained."""
        known = {"model": MODEL, "version": version, "semver": f"1.{version}.0", "code": self.repository.head()}
        digests = {"artifact": digest_of(FILES), "schema": digest_of("s"), "data": digest_of(version)}
        return Release.model_validate(known | digests | fields)

    def evidence(self, release: Release) -> dict[Kind, Evidence]:
        """Return green evidence of every kind that the policy demands."""
        finding = Measured(gate="roc_auc ≥ 0.7", verdict=Verdict.PASS, message="0.8")
        values = {"model": MODEL, "release": release.id, "gates": digest_of("g"), "data": release.data}
        values |= {"created": NOW - timedelta(hours=1), "findings": (finding,)}
        return {kind: Evidence.model_validate({**values, "kind": kind}) for kind in KINDS}

    def push(self, edits: dict[str, bytes | None], message: str = "Edit") -> str:
        """Move main."""
        main = self.repository.main()
        commit = self.repository.commit([main], main, edits, message)
        self.repository.push(commit, "refs/heads/main", main)
        return commit

    def change(
        self,
        environment: str,
        edit: Callable[[Deployment], Deployment],
        evidence: dict[Kind, Evidence] | None = None,
        approved_by: str = "grace@example.org",
    ) -> str:
        """Let main declare something, as the merge of a pull request does, and the ledger that it was delivered."""
        path = layout.environment_path(environment, MODEL)
        text = self.repository.read(self.repository.main(), path) or ""
        after = edit(parse_deployment(text, source=path))
        assert after.release
        edits: dict[str, bytes | None] = {path: edited(text, after, source=path).encode()}
        folder = after.release.id.removeprefix("sha256:")[:12]
        for kind, item in (evidence or {}).items():
            edits[layout.evidence_path(folder, kind)] = item.model_dump_json(by_alias=True).encode()
        trailers = f"Towpath-Pull: 7\n{f'Approved-by: {approved_by}' if approved_by else 'Nobody: said'}\n"
        commit = self.push(edits, f"Merge\n\n{trailers}")
        self.tell(environment, commit, Event.APPLIED)
        self.tell(environment, commit, Event.VERIFIED, verdict=Verdict.PASS)
        return commit

    def tell(self, environment: str, commit: str, event: Event, **fields: Any) -> None:
        """Write into the ledger."""
        declared = declared_at(self.repository, commit, environment, MODEL)
        assert declared
        place = {"environment": environment, "model": MODEL, "commit": commit, "event": event}
        self.ledger.append(Fact.model_validate(declared.facts() | place | {"time": datetime.now(UTC)} | fields))

    def promoted(
        self, release: Release, environment: str, reason: str = "weekly", spoilt: dict[str, Any] | None = None
    ) -> str:
        """Promote a release with its evidence, of which some fields may be spoilt."""
        sound = self.evidence(release).items()
        evidence = {kind: item.model_copy(update=spoilt or {}) for kind, item in sound}
        digest = bundle_digest(evidence.values())
        return self.change(environment, lambda before: promote(before, release, reason, digest), evidence)

    def report(self, safeguards: Safeguards | None = None, *, now: datetime = NOW) -> Report:
        """Judge production."""
        return report(self.ledger, Place(PRODUCTION, MODEL), lambda: safeguards, now)


def found(report: Report, control: type[Control], change: int = 0) -> Finding:
    """Return what was found about a control, of the newest change or of an older one."""
    judgements = [*report.standing, *(report.changes[change].judgements if report.changes else ())]
    return next(each.finding for each in judgements if each.control is control)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A past made once, of which each test gets a copy."""
    folder = tmp_path_factory.mktemp("past")
    past = Past(scaffold(folder))
    release = past.release(1)
    for environment in (STAGING, PRODUCTION):
        past.promoted(release, environment)
    return folder


@pytest.fixture
def past(template: Path, tmp_path: Path) -> Past:
    """A repository in which one release went through staging to production."""
    for name in (MODEL, "forge.git"):
        shutil.copytree(template / name, tmp_path / name)
    repository = Repository(tmp_path / MODEL)
    repository.git.run("remote", "set-url", "origin", str(tmp_path / "forge.git"))
    return Past(repository)


def test_a_sound_promotion_meets_what_git_can_show(past: Past) -> None:
    """With evidence for each; what is not there, a signature, rules of a forge, is a gap, and said first."""
    result = past.report()
    for control in (
        changes.SecondPerson,
        changes.GreenEvidence,
        changes.Traceability,
        changes.StagedBefore,
        changes.VerifiedHere,
        changes.StatedException,
        standing.TrueRecords,
        standing.Owners,
        standing.Monitored,
        standing.GuardOnDuty,
    ):
        assert (found(result, control).state, control) == (State.MET, control)
    gaps = {judgement.control for _, judgement in result.gaps}
    assert gaps == {
        changes.SignedRelease,
        standing.Retention,
        standing.AccessRules,
        standing.RehearsedRollback,
    }
    assert "whoever can push" in " ".join(found(result, standing.AccessRules).words)


def test_nothing_is_met_without_evidence() -> None:
    """Whoever writes a control cannot call it met and name nothing."""
    for words in ((), ("",)):
        with pytest.raises(ValueError, match="needs evidence"):
            met(*words)


def test_an_input_that_cannot_be_had_is_a_gap() -> None:
    """A forge that does not answer leaves the page whole."""

    def refuse() -> None:
        raise RefusedError("No permission to read the rules")

    (judgement,) = judge([standing.AccessRules], {"safeguards": refuse})
    assert judgement.finding.state is State.GAP
    assert "No permission" in judgement.finding.words[0]


@pytest.mark.parametrize(
    ("approved_by", "state"),
    [("grace@example.org", State.MET), ("Ada@example.org", State.GAP), ("", State.GAP)],
)
def test_the_author_is_no_second_person(past: Past, approved_by: str, state: State) -> None:
    """Nor is nobody."""
    release = past.release(2)
    digest = bundle_digest(past.evidence(release).values())
    past.change(PRODUCTION, lambda before: promote(before, release, "x", digest), past.evidence(release), approved_by)
    assert found(past.report(), changes.SecondPerson).state is state


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"findings": ()}, "says error"),
        ({"release": digest_of("another")}, "is about"),
        ({"created": NOW - timedelta(days=31)}, "was older than 30d"),
    ],
)
def test_evidence_must_be_green_its_own_and_fresh(past: Past, fields: dict[str, Any], words: str) -> None:
    """Each is asked of the very commit that was merged, by its own policy."""
    past.promoted(past.release(2), PRODUCTION, spoilt=fields)
    finding = found(past.report(), changes.GreenEvidence)
    assert finding.state is State.GAP
    assert words in " ".join(finding.words)


def test_missing_evidence_is_named(past: Past) -> None:
    """By its kind; and so are files whose digest is another than the change names."""
    release = past.release(2)
    past.change(PRODUCTION, lambda before: promote(before, release, "x", digest_of("nothing")))
    words = " ".join(found(past.report(), changes.GreenEvidence).words)
    assert "no evaluation evidence" in words
    assert "not those whose digest" in words


def test_code_that_main_does_not_hold_cannot_be_traced(past: Past) -> None:
    """The commit that trained the model must be in main's history."""
    past.promoted(past.release(2, code="c" * 40), PRODUCTION)
    assert found(past.report(), changes.Traceability).state is State.GAP


def test_what_never_ran_in_staging_is_a_gap_and_a_hotfix_is_flagged(past: Past) -> None:
    """Skipping is either wrong or said."""
    past.promoted(past.release(2), PRODUCTION)
    assert found(past.report(), changes.StagedBefore).state is State.GAP
    release = past.release(3)
    evidence = past.evidence(release)

    def hotfix(before: Deployment) -> Deployment:
        after = promote(before, release, "urgent", bundle_digest(evidence.values()))
        assert after.change
        return after.model_copy(update={"change": after.change.model_copy(update={"type": ChangeType.HOTFIX})})

    past.change(PRODUCTION, hotfix, evidence)
    result = past.report()
    assert found(result, changes.StagedBefore).state is State.FLAGGED
    assert found(result, changes.StatedException).state is State.GAP  # one approval, where two are asked for


def test_a_red_verification_is_not_forgotten(past: Past) -> None:
    """Red last is a gap; green again stays flagged."""
    commit = past.repository.main()
    past.tell(PRODUCTION, commit, Event.VERIFIED, verdict=Verdict.FAIL, note="too slow")
    result = past.report()
    assert found(result, changes.VerifiedHere).state is State.GAP
    assert found(result, standing.Monitored).state is State.GAP
    past.tell(PRODUCTION, commit, Event.VERIFIED, verdict=Verdict.PASS)
    assert found(past.report(), changes.VerifiedHere).state is State.FLAGGED


def test_a_signature_of_today_counts_by_todays_keys(past: Past, tmp_path: Path) -> None:
    """Signed and asked for is met; signed by a key that was taken off main is a gap."""
    keys = new_key_pair(tmp_path / "keys")[0].parent
    release = past.release(1)
    policy = past.repository.read(past.repository.main(), layout.POLICY)
    asking = f"{policy}signing: {{method: key, keys: [gitops/keys/a.pub]}}\n".encode()
    signature = sign(release, FILES, PrivateKey(keys / PRIVATE))
    files = {layout.POLICY: asking, layout.signature_path(release.short_id): signature}
    past.push(files | {"gitops/keys/a.pub": (keys / PUBLIC).read_bytes()})
    finding = found(past.report(), changes.SignedRelease)
    assert finding.state is State.MET
    assert "gitops/keys/a.pub" in finding.words[0]
    past.push({"gitops/keys/a.pub": new_key_pair(tmp_path / "other")[1].read_bytes()})
    assert found(past.report(), changes.SignedRelease).state is State.GAP


def test_a_rollback_that_led_back_is_the_rehearsal(past: Past) -> None:
    """It is named with its ledger entry, it needs no evidence of its own, and what it left is past."""
    first = past.release(1)
    past.promoted(past.release(2), PRODUCTION)
    past.change(PRODUCTION, lambda before: rollback(before, first, "worse", "ada@example.org", NOW))
    result = past.report()
    finding = found(result, standing.RehearsedRollback)
    assert finding.state is State.MET
    assert "ledger entry 5" in finding.words[0]
    assert found(result, changes.GreenEvidence).state is State.NONE
    assert [change.tenure.until is None for change in result.changes] == [True, False, False]


@pytest.mark.parametrize(
    ("fields", "control"),
    [
        ({}, None),
        ({"rewritable": True}, standing.Retention),
        ({"pull_required": False}, standing.AccessRules),
        ({"approvals": 0}, standing.AccessRules),
        ({"fresh_approvals": False}, standing.AccessRules),
        ({"checks": ()}, standing.AccessRules),
        ({"bypassed_by": ("@mallory",)}, standing.AccessRules),
    ],
)
def test_a_hole_in_the_forges_rules_is_a_gap(past: Past, fields: dict[str, Any], control: Any) -> None:
    """Every rule by itself; with all of them both controls are met."""
    result = past.report(SAFE.model_copy(update={"branch": RULES.model_copy(update=fields)}))
    states = {each: found(result, each).state for each in (standing.Retention, standing.AccessRules)}
    assert states == {each: State.GAP if each is control else State.MET for each in states}


def test_what_nobody_looked_at_for_days_is_not_monitored(past: Past) -> None:
    """A verification of last week says nothing about today."""
    assert found(past.report(now=NOW + timedelta(days=3)), standing.Monitored).state is State.GAP


def test_a_broken_record_is_no_record(past: Past) -> None:
    """What the audit finds stands on the page, and the page is not written from lines that do not hold."""
    release = past.release(2)
    path = layout.environment_path(PRODUCTION, MODEL)
    for version in (release, past.release(3)):
        text = past.repository.read(past.repository.main(), path) or ""
        after = promote(parse_deployment(text, source=path), version, "unrecorded", None)
        past.push({path: edited(text, after, source=path).encode()})
    finding = found(past.report(), standing.TrueRecords)
    assert finding.state is State.GAP
    assert "no entry tells of it" in " ".join(finding.words)


def test_nobody_answers_for_files_without_owners(past: Past) -> None:
    """Each path that matters is named."""
    past.push({layout.CODEOWNERS: b"/gitops/environments/ grace@example.org\n"})
    words = " ".join(found(past.report(), standing.Owners).words)
    assert layout.POLICY in words
    assert layout.CODEOWNERS in words


@pytest.mark.parametrize("control", [*standing.STANDING, *changes.CHANGES], ids=lambda control: control.__name__)
def test_every_control_comes_from_every_framework(control: type[Control]) -> None:
    """Each names provisions of all three, its title and what it looks for."""
    assert {citation.framework for citation in control.cites} == set(FRAMEWORKS)
    assert control.title()
    assert len(control.looked_for()) > 20


def test_a_misprinted_provision_is_found() -> None:
    """Provisions are taken from a table, and the page lists each once, in order."""
    with pytest.raises(KeyError):
        cite(NIST, "GOVERN 99.9")
    names = [row[0] for row in provisions()]
    assert len(set(names)) == len(names)
    articles = [int(name.rpartition(" ")[2]) for name in names if "Art." in name]
    assert articles == sorted(articles)


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_no_word_becomes_markup(tmp_path: Path) -> None:
    """No script, no link, no address from outside; hostile reasons stay words, in HTML and in Markdown."""
    past = Past(scaffold(tmp_path))
    past.promoted(past.release(1), PRODUCTION, HOSTILE)
    result = past.report()
    text = page(result)
    tags = _Tags(text)
    assert not tags.open
    assert not {"script", "a", "img", "link", "iframe", "src", "href", "onload", "style=..."} & tags.found
    assert not re.search(r"url\(|@import|https?://(?!evil)", text)
    assert "&lt;script&gt;alert(1)" in text
    lines = markdown(result)
    assert "<script>" not in lines
    assert "](http" not in lines
    assert NOTE in lines.replace("&#39;", "'")


def test_before_the_first_release_the_page_says_so(tmp_path: Path) -> None:
    """Nothing served, nothing is met by that, and the page is whole."""
    result = Past(scaffold(tmp_path)).report()
    assert result.changes == ()
    assert found(result, standing.TrueRecords).state is State.GAP
    assert "Nothing has served yet" in page(result)
    assert "Nothing has served yet" in markdown(result)


def test_the_verb_writes_both_pages_offline(past: Past, tmp_path: Path) -> None:
    """`towpath report compliance`, with the remote gone: two files, the gaps on the terminal, JSON for programs."""
    (tmp_path / "forge.git").rename(tmp_path / "gone.git")
    command = [sys.executable, "-m", "towpath_ci", "report", "compliance"]
    options: dict[str, Any] = {"cwd": past.repository.root, "capture_output": True, "text": True}
    done = subprocess.run([*command, "--output", str(tmp_path / "out")], check=False, **options)
    assert done.returncode == 0, done.stderr
    assert "remote cannot be reached" in done.stderr
    assert "Production changes by reviewed pull request only" in done.stdout
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".md", ".html"}
    told = json.loads(subprocess.run([*command, "--json"], check=True, **options).stdout)
    assert told["counts"]["gap"] == 4
    assert told["changes"][0]["controls"][0]["frameworks"][0]["id"] == "GOVERN 2.1"


def test_a_report_of_a_forged_ledger_is_refused(past: Past) -> None:
    """Nothing is written from lines that do not hold."""
    tip = past.repository.tip(REF) or ""
    data = past.repository.read_bytes(tip, f"{PRODUCTION}.jsonl") or b""
    forged = past.repository.commit([tip], tip, {f"{PRODUCTION}.jsonl": data[:-9]}, "Forge")
    past.repository.push(forged, REF, tip)
    with pytest.raises(Exception, match="is broken"):
        past.report()


def test_the_counts_are_those_of_the_page(past: Past) -> None:
    """Every judgement is counted once."""
    result = past.report()
    total = len(standing.STANDING) + len(changes.CHANGES)
    assert sum(result.count(state) for state in State) == total
    assert replace(result, changes=()).count(State.MET) < result.count(State.MET)
