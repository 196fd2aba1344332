"""What the drills about signatures share: keys, a policy that asks for them, and signatures on main."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.records.artifact import manifest
from towpath_gitops.records.release import Release
from towpath_gitops.signers import PrivateKey, new_key_pair
from towpath_gitops.signing import sign

KEY: Final = "gitops/keys/owner.pub"


@contextmanager
def key_pair() -> Iterator[tuple[Path, Path]]:
    """Make a key pair for the time of the block: the paths of its private and its public half."""
    with TemporaryDirectory(prefix="towpath-drill-") as folder:
        yield new_key_pair(Path(folder))


def asking(stage: Stage, public: Path) -> dict[str, bytes]:
    """Return the files with which main asks for signatures by a key."""
    policy = stage.repository.read(stage.repository.main(), layout.POLICY) or ""
    return {
        layout.POLICY: f"{policy}signing: {{method: key, keys: [{KEY}], unsigned: refuse}}\n".encode(),
        KEY: public.read_bytes(),
    }


def signed(stage: Stage, release: Release, private: Path) -> dict[str, bytes]:
    """Return the file with which main holds a signature of a release."""
    folder = stage.registry.fetch(release, layout.store(stage.root))
    return {layout.signature_path(release.short_id): sign(release, manifest(folder), PrivateKey(private))}
