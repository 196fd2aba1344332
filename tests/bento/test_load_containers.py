"""Images under load: what is asked of podman, and what is refused. With a real podman: tests/ci/test_image_runs.py."""

import os
from pathlib import Path

import pytest

from towpath_bento.load.containers import Container
from towpath_gitops.errors import DeliveryError, DigestMismatchError, MissingDependencyError
from towpath_gitops.records.base import digest_of

DIGEST, OTHER = digest_of("image"), digest_of("another")
IMAGE = f"127.0.0.1:5000/team/canal@{DIGEST}"
# A program that writes down how it is called and answers as podman does, of an image that is here under one name.
PODMAN = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
  "run "*) {run} ;;
  "inspect --format={{{{.Image}}}} "*) echo 0f51f815d931 ;;
  "inspect --format={{{{.State.Pid}}}} "*) echo 4711 ;;
  "image inspect "*) echo '[{{"Digest": "{digest}", "RepoDigests": ["127.0.0.1:5000/team/canal@{digest}"]}}]' ;;
esac
"""


def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, digest: str, run: str = "echo started") -> Path:
    """Put such a program on the PATH; return the file of its calls."""
    program, written = tmp_path / "podman", tmp_path / "calls"
    program.write_text(PODMAN.format(digest=digest, run=run))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(written))
    return written


def test_an_image_runs_by_its_digest_as_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the loopback, with nothing to write to and no capability; keys are handed on by name, never by value."""
    written = calls(tmp_path, monkeypatch, digest=DIGEST)
    monkeypatch.setenv("TOWPATH_API_KEYS", "a-key-of-twenty-letters")
    container = Container(IMAGE, 3999, 2, "load")
    assert (container.pid(), container.alive()) == (4711, True)
    container.stop()
    begun, *_, ended = written.read_text().splitlines()
    options, _, arguments = begun.partition(f" {IMAGE} ")
    assert {"--tls-verify=false", "--network=host", "--read-only", "--cap-drop=all"} <= set(options.split())
    assert {"--env=TOWPATH_ENVIRONMENT=load", "--env=TOWPATH_API_KEYS"} <= set(options.split())
    assert "a-key-of" not in written.read_text()
    assert arguments == "--host 127.0.0.1 --port 3999 --workers 2"
    assert ended.startswith("rm --force --ignore")


def test_another_image_is_stopped_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever name podman found it under: its digest is compared, and nothing is left running."""
    written = calls(tmp_path, monkeypatch, digest=OTHER)
    with pytest.raises(DigestMismatchError, match="another image"):
        Container(IMAGE, 3999, 1, "load")
    assert written.read_text().splitlines()[-1].startswith("rm --force")


def test_what_podman_says_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that does not hold it, or no podman at all."""
    calls(tmp_path, monkeypatch, digest=DIGEST, run="echo 'manifest unknown' >&2; exit 125")
    with pytest.raises(DeliveryError, match="manifest unknown"):
        Container(IMAGE, 3999, 1, "load")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(MissingDependencyError, match="podman"):
        Container(IMAGE, 3999, 1, "load")
