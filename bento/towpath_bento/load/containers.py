"""Images that are started for a load test: by their digest, with podman, as nobody and with nothing to write to."""

import json
import os
import secrets
import shutil
import subprocess
from typing import Final

from towpath_bento.image.shelf import tls
from towpath_bento.image.tools import missing_tool, run
from towpath_bento.packaged import ENVIRONMENT_VARIABLE
from towpath_gitops.delivery.loopback import HOST
from towpath_gitops.errors import DigestMismatchError, TowpathError
from towpath_gitops.records.base import short
from towpath_gitops.records.image import digest_in

PODMAN: Final = "podman"
_KEYS: Final = "TOWPATH_API_KEYS"  # a service that asks for keys does not start without
# The loopback is this machine's own: nothing is forwarded, so that what is measured is the service.
_ALONE: Final = ("--network=host", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
_STOP_S: Final = 15
_LOG_LINES: Final = "15"


class Container:
    """An image that runs on this machine's loopback."""

    def __init__(self, image: str, port: int, workers: int, environment: str) -> None:
        """Pull an image `registry/name@sha256:…` where it is not here yet, and start it.

        Raises:
            MissingDependencyError: podman is not installed.
            DeliveryError: the registry does not hold it, or it cannot be started; what podman said is the reason.
            DigestMismatchError: podman runs another image.
        """
        if shutil.which(PODMAN) is None:
            raise missing_tool("A load test of an image", PODMAN)
        self._image = image
        self._name = f"towpath-load-{secrets.token_hex(6)}"
        known = (f"--env={_KEYS}",) if os.environ.get(_KEYS) else ()
        listen = ("--host", HOST, "--port", str(port), "--workers", str(workers))
        named = (f"--name={self._name}", f"--env={ENVIRONMENT_VARIABLE}={environment}", *known)
        try:
            command = [PODMAN, "run", "--detach", "--quiet", *tls(image), *_ALONE, *named, image, *listen]
            run(command, f"Starting the image {short(digest_in(image))}")
            self._require_itself()
        except TowpathError:
            self.stop()
            raise

    def alive(self) -> bool:
        """Return whether it has not ended."""
        return self.pid() is not None

    def pid(self) -> int | None:
        """Return the number of its first process as this machine knows it; None when it has ended."""
        return int(self._asked("{{.State.Pid}}")) or None

    def log_tail(self) -> str:
        """Return the last lines that it wrote."""
        done = subprocess.run(
            [PODMAN, "logs", f"--tail={_LOG_LINES}", self._name], capture_output=True, text=True, check=False
        )
        return (done.stdout + done.stderr).strip()

    def stop(self) -> None:
        """Stop it politely, by force what is left of it, and remove it; the image stays for the next time."""
        command = [PODMAN, "rm", "--force", "--ignore", f"--time={_STOP_S}", self._name]
        subprocess.run(command, capture_output=True, check=False)

    def _require_itself(self) -> None:
        """Compare what runs with what was asked for: the local store has many names for one image."""
        digest = digest_in(self._image)
        known = json.loads(run([PODMAN, "image", "inspect", self._asked("{{.Image}}")], "Looking at the image"))
        found = {digest_in(name) for name in known[0].get("RepoDigests") or ()} | {known[0].get("Digest")}
        if digest not in found:
            what = f"podman runs another image than {short(digest)}"
            raise DigestMismatchError(what, why=f"It has {', '.join(sorted(filter(None, found)))}.")

    def _asked(self, field: str) -> str:
        return run([PODMAN, "inspect", f"--format={field}", self._name], "Looking at the container").decode().strip()
