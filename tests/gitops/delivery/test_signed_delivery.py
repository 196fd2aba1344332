"""Reconciling where the policy asks for signatures: what is not vouched for is never pointed to."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from towpath_gitops import layout
from towpath_gitops.errors import DigestMismatchError, InvalidFileError, SignatureError
from towpath_gitops.records.artifact import manifest
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import dump_yaml
from towpath_gitops.records.release import Release
from towpath_gitops.signers import PRIVATE, PUBLIC, PrivateKey, new_key_pair
from towpath_gitops.signing import sign

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

KEY = "gitops/keys/ada.pub"


def ask(world: "World", unsigned: str = "refuse", key: Path | None = None) -> None:
    """Let main ask for signatures by a key."""
    policy = {
        "apiVersion": "towpath/v1",
        "kind": "Policy",
        "environments": [{"name": "staging"}],
        "signing": {"method": "key", "keys": [KEY], "unsigned": unsigned},
    }
    edits: dict[str, bytes | None] = {layout.POLICY: dump_yaml(policy).encode()}
    world.push(edits | ({KEY: key.read_bytes()} if key else {}), "Ask for signatures")


def bring(world: "World", release: Release, signature: bytes) -> None:
    """Put a signature on main, as the merge of a promotion does."""
    world.push({layout.signature_path(release.short_id): signature}, "Sign")


def signed(world: "World", release: Release, keys: Path) -> bytes:
    """Return a signature of a release as it lies in the registry."""
    folder = world.registry.fetch(release, layout.store(world.repository.root))
    return sign(release, manifest(folder), PrivateKey(keys / PRIVATE))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a key pair, outside the repository."""
    return new_key_pair(tmp_path / "keys")[0].parent


def served(world: "World") -> str | None:
    """Return what answers in staging."""
    version = world.target().observe().version
    return version.release if version else None


def test_a_signed_release_is_served(world: "World", publish: "Publish", keys: Path) -> None:
    """With the key's public half on main, what it has signed passes, with nothing to remark."""
    ask(world, key=keys / PUBLIC)
    release = publish()
    bring(world, release, signed(world, release, keys))
    world.declare(release)
    assert world.reconcile().notes == ()
    assert served(world) == release.id


def test_what_is_not_signed_is_refused_and_the_old_release_keeps_serving(
    world: "World", publish: "Publish", keys: Path, tmp_path: Path
) -> None:
    """No signature, a stranger's, another release's: each is refused, written down, and moves nothing."""
    old, new = publish(0.0), publish(1.0)
    ask(world, key=keys / PUBLIC)
    bring(world, old, signed(world, old, keys))
    world.declare(old)
    world.reconcile()
    stranger = new_key_pair(tmp_path / "stranger")[0].parent
    world.declare(new)
    with pytest.raises(SignatureError, match="is not signed"):
        world.reconcile()
    for signature in (signed(world, new, stranger), signed(world, old, keys)):
        bring(world, new, signature)
        with pytest.raises(SignatureError):
            world.reconcile()
    assert served(world) == old.id
    last = world.ledger.last_verified("staging", world.model, new.id)
    assert last
    assert last.verdict is Verdict.ERROR
    bring(world, new, signed(world, new, keys))
    assert world.reconcile().release == new
    assert world.ledger.verify() == []


def test_where_unsigned_is_allowed_a_wrong_signature_is_not(world: "World", publish: "Publish", keys: Path) -> None:
    """Allowed means: without one it passes with a remark; with a wrong one it does not."""
    release, other = publish(0.0), publish(1.0)
    ask(world, "allow", keys / PUBLIC)
    world.declare(release)
    assert "policy.signing allows" in world.reconcile().notes[0]
    bring(world, release, signed(world, other, keys))
    with pytest.raises(SignatureError, match="not one of"):
        world.reconcile()


def test_only_mains_keys_count(world: "World", publish: "Publish", keys: Path, tmp_path: Path) -> None:
    """A key that was swapped on a branch, or in the working tree, signs nothing."""
    mallory = new_key_pair(tmp_path / "mallory")[0].parent
    ask(world, key=keys / PUBLIC)
    release = publish()
    bring(world, release, signed(world, release, mallory))
    world.declare(release)
    main = world.repository.main()
    swapped = world.repository.commit([main], main, {KEY: (mallory / PUBLIC).read_bytes()}, "Swap the key")
    world.repository.push(swapped, "refs/heads/towpath/promote/staging/keys", None)
    file = world.repository.root / KEY
    file.parent.mkdir(parents=True)
    file.write_bytes((mallory / PUBLIC).read_bytes())
    with pytest.raises(SignatureError, match="Nobody whom the policy names"):
        world.reconcile()


def test_a_key_that_main_does_not_hold_stops_everything(world: "World", publish: "Publish", keys: Path) -> None:
    """A policy that names a missing key, or a link in its place, lets nothing through."""
    ask(world)
    release = publish()
    bring(world, release, signed(world, release, keys))
    world.declare(release)
    with pytest.raises(InvalidFileError, match="not on main"):
        world.reconcile()
    _link(world, KEY, str(keys / PUBLIC))
    with pytest.raises(InvalidFileError, match="symbolic link"):
        world.reconcile()
    assert served(world) is None


def _link(world: "World", path: str, to: str) -> None:
    """Push a symbolic link to main."""
    git, main = world.repository.git, world.repository.main()
    blob = git.text("hash-object", "-w", "--stdin", stdin=to.encode())
    git.run("read-tree", main)
    git.run("update-index", "--add", "--cacheinfo", f"120000,{blob},{path}")
    commit = git.text("commit-tree", git.text("write-tree"), "-p", main, "-m", "Link")
    world.repository.push(commit, "refs/heads/main", main)


def test_a_revoked_key_is_noticed_by_the_next_run(
    world: "World", publish: "Publish", keys: Path, tmp_path: Path
) -> None:
    """Signatures are checked with today's keys; what serves runs on, and the ledger says what is wrong with it."""
    ask(world, key=keys / PUBLIC)
    release = publish()
    bring(world, release, signed(world, release, keys))
    world.declare(release)
    world.reconcile()
    ask(world, key=new_key_pair(tmp_path / "new")[1])
    with pytest.raises(SignatureError):
        world.reconcile()
    assert served(world) == release.id
    assert world.ledger.verified("staging", world.model) == []


def test_signed_bytes_that_changed_in_the_registry_are_not_opened(
    world: "World", publish: "Publish", keys: Path
) -> None:
    """A good signature is no licence: the bytes are compared with the digest that was signed."""
    ask(world, key=keys / PUBLIC)
    release = publish()
    bring(world, release, signed(world, release, keys))
    version = world.registry.client.get_model_version(release.model, str(release.version))
    file = Path(version.source.removeprefix("file://"), "model.json")
    file.write_text(file.read_text() + " ")
    stored = layout.store(world.repository.root) / release.artifact.removeprefix("sha256:")
    (stored / "model.json").write_text("{}")
    world.declare(release)
    with pytest.raises(DigestMismatchError):
        world.reconcile()


def test_the_registry_carries_a_signature_beside_the_artifact(world: "World", publish: "Publish", keys: Path) -> None:
    """It comes back as it was published, the later one counts, and the artifact's digest stays what it was."""
    release = publish()
    assert world.registry.signature(release) is None
    for signature in (signed(world, release, keys), signed(world, release, keys)):
        world.registry.publish_signature(release, signature)
        assert world.registry.signature(release) == signature
    assert world.registry.fetch(release, keys / "store").is_dir()
