"""`towpath audit verify` of a long ledger: seconds and records per second, and whether they grow in step.

Run it with: python benchmarks/audit.py [RECORDS…]
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from towpath_gitops import layout
from towpath_gitops.delivery.audit import audit
from towpath_gitops.delivery.entries import Entry, Fact
from towpath_gitops.delivery.ledger import REF, Ledger
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.deployment import Deployment, PinnedRelease
from towpath_gitops.records.parsing import dump_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository

PER_DECLARATION = 10  # an application and nine verifications: a release that serves for more than a week
MODEL, ENVIRONMENT = "flights", "production"
WHO = "Ada", "ada@example.org"
START = datetime(2020, 1, 1, tzinfo=UTC)


def main(counts: Sequence[int]) -> None:
    """Print one row for each number of records."""
    print("| records | declarations on main | seconds | records per second |\n| ---: | ---: | ---: | ---: |")
    for count in counts:
        with TemporaryDirectory(prefix="towpath-bench-") as folder:
            ledger = made(Path(folder), count)
            began = perf_counter()
            problems = audit(ledger)
            took_s = perf_counter() - began
            assert not problems, problems[:3]  # noqa: S101 (a figure about a broken ledger would say nothing)
        print(f"| {count:,} | {count // PER_DECLARATION:,} | {took_s:.2f} | {count / took_s:,.0f} |")


def made(folder: Path, count: int) -> Ledger:
    """Make a clone with a remote, whose main and ledger tell the same story of `count` records."""
    remote, clone = folder / "remote.git", folder / "clone"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(remote)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(remote), str(clone)], check=True, capture_output=True)
    releases = [_release(number) for number in range(1, count // PER_DECLARATION + 1)]
    stream = "".join(_declarations(releases)).encode()
    marks = folder / "marks"
    subprocess.run(["git", "fast-import", "--quiet", f"--export-marks={marks}"], cwd=remote, input=stream, check=True)
    commits = dict(line.split() for line in marks.read_text(encoding="utf-8").splitlines())
    repository = Repository(clone).acting_as(*WHO)
    repository.fetch()
    data = b"".join(_lines(releases, [commits[f":{number}"] for number in range(1, len(releases) + 1)]))
    repository.push(repository.commit([], None, {f"{ENVIRONMENT}.jsonl": data}, "Tell\n"), REF, None)
    return Ledger(repository)


def _release(number: int) -> Release:
    fields = {"model": MODEL, "version": number, "semver": f"1.{number}.0", "code": f"{number:040x}"}
    return Release.model_validate(fields | dict.fromkeys(("artifact", "schema", "data"), digest_of(number)))


def _declarations(releases: Sequence[Release]) -> Iterator[str]:
    before: str | None = None
    for number, release in enumerate(releases, start=1):
        document = {
            "apiVersion": "towpath/v1",
            "kind": "Deployment",
            "model": MODEL,
            "environment": ENVIRONMENT,
            "release": PinnedRelease.of(release).plain(),
            "change": {"type": "promote", "from": before, "reason": "weekly"},
            "target": {"kind": "local", "port": 3000},
        }
        text = dump_yaml(Deployment.model_validate(document).plain())
        moment = int(START.timestamp()) + number * 60
        yield f"commit refs/heads/main\nmark :{number}\ncommitter {WHO[0]} <{WHO[1]}> {moment} +0000\ndata 8\nPromote\n"
        path = layout.environment_path(ENVIRONMENT, MODEL)
        yield f"\nM 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"
        before = release.id


def _lines(releases: Sequence[Release], commits: Sequence[str]) -> Iterator[bytes]:
    last: Entry | None = None
    for number, (release, commit) in enumerate(zip(releases, commits, strict=True)):
        place = {"environment": ENVIRONMENT, "model": MODEL, "release": release.id, "commit": commit}
        facts = place | {"change": "promote", "reason": "weekly", "author": WHO[1]}
        facts["replaces"] = releases[number - 1].id if number else None
        for day in range(PER_DECLARATION):
            event = {"event": "verified", "verdict": "pass"} if day else {"event": "applied"}
            time = START + timedelta(days=number * PER_DECLARATION + day)
            last = Entry.following(last, Fact.model_validate(facts | event | {"time": time}))
            yield last.line()


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000])
