# ruff: noqa: ANN401 (the world is made in conftest.py, which cannot be imported)
"""Signatures at review: a proposal carries them onto main, and is refused without a good one where main asks for it."""

from pathlib import Path
from typing import Any

import pytest

from towpath_gitops import layout
from towpath_gitops.promotion.proposal import propose_promotion, propose_rollback
from towpath_gitops.promotion.review import merge_reviewed, review
from towpath_gitops.promotion.signatures import trust
from towpath_gitops.records.artifact import manifest
from towpath_gitops.records.policy import KeylessSigning
from towpath_gitops.signers import PRIVATE, PUBLIC, Identity, PrivateKey, new_key_pair
from towpath_gitops.signing import sign

KEY = "gitops/keys/ada.pub"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a key pair."""
    return new_key_pair(tmp_path / "keys")[0].parent


@pytest.fixture
def signing(world: Any, keys: Path) -> Any:
    """A world whose main asks for signatures."""
    policy = world.ada.read(world.ada.main(), layout.POLICY)
    world.push({layout.POLICY: f"{policy}signing: {{method: key, keys: [{KEY}]}}\n", KEY: (keys / PUBLIC).read_text()})
    return world


def _sign(world: Any, release: Any, keys: Path) -> bytes:
    signature = sign(release, manifest(world.store.folder(release)), PrivateKey(keys / PRIVATE))
    (world.store.root / str(release.version) / "release.sig").write_bytes(signature)
    return signature


def _promote(world: Any, release: Any, environment: str = "staging") -> Any:
    return propose_promotion(world.desk(), environment=environment, release=release, reason="retrain", now=world.now)


def _approved(world: Any, pull: Any) -> set[str]:
    world.desk("grace").forge.approve(pull.number)
    return {reason.rule for reason in review(world.desk(), pull.number, now=world.now).reasons}


def test_a_signature_travels_with_the_promotion(signing: Any, keys: Path) -> None:
    """What the registry holds beside the release lies on main after the merge, byte for byte."""
    release = signing.register(1)
    signature = _sign(signing, release, keys)
    pull = _promote(signing, release)
    assert _approved(signing, pull) == set()
    merge_reviewed(signing.desk(), pull.number, now=signing.now)
    main = signing.ada.main()
    assert signing.ada.read_bytes(main, layout.signature_path(release.short_id)) == signature


def test_a_signature_travels_although_nobody_asks_yet(world: Any, keys: Path) -> None:
    """A policy that begins to ask for signatures tomorrow finds those of today."""
    release = world.register(1)
    _sign(world, release, keys)
    pull = _promote(world, release)
    assert _approved(world, pull) == set()


def test_an_unsigned_release_is_proposed_and_refused(signing: Any, keys: Path) -> None:
    """Its decision document says so; signed and proposed again it passes, in the same pull request."""
    release = signing.register(1)
    pull = _promote(signing, release)
    assert "is not signed" in pull.body.replace("&#95;", "_")
    assert _approved(signing, pull) == {"signing"}
    _sign(signing, release, keys)
    again = _promote(signing, release)
    assert again.number == pull.number
    assert _approved(signing, again) == set()


def test_a_strangers_signature_is_refused(signing: Any, tmp_path: Path) -> None:
    """Whoever can write to the registry cannot vouch by that."""
    release = signing.register(1)
    _sign(signing, release, new_key_pair(tmp_path / "stranger")[0].parent)
    assert _approved(signing, _promote(signing, release)) == {"signing"}


def test_a_key_brought_along_by_the_proposal_does_not_count(signing: Any, tmp_path: Path) -> None:
    """Keys are main's: a branch that swaps one is refused for that, and for the signature."""
    release = signing.register(1)
    stranger = new_key_pair(tmp_path / "stranger")[0].parent
    _sign(signing, release, stranger)
    pull = _promote(signing, release)
    repository = signing.ada
    swapped = repository.commit([pull.head], pull.head, {KEY: (stranger / PUBLIC).read_bytes()}, "Swap the key")
    repository.push(swapped, f"refs/heads/{pull.branch}", pull.head)
    assert {"scope", "signing"} <= _approved(signing, signing.desk().forge.get(pull.number))


def test_an_edited_signature_is_refused(signing: Any, keys: Path) -> None:
    """Nor can the branch replace a good signature with another release's."""
    release, other = signing.register(1), signing.register(2)
    _sign(signing, release, keys)
    pull = _promote(signing, release)
    edits = {layout.signature_path(release.short_id): _sign(signing, other, keys)}
    repository = signing.ada
    repository.push(repository.commit([pull.head], pull.head, edits, "Edit"), f"refs/heads/{pull.branch}", pull.head)
    assert _approved(signing, signing.desk().forge.get(pull.number)) == {"signing"}


def test_a_rollback_leads_to_what_is_signed(signing: Any, keys: Path) -> None:
    """Its target was signed when it came and needs no other signature; one that never was is refused."""
    signed, bare, bad = (signing.register(number) for number in (1, 2, 3))
    _sign(signing, signed, keys)
    merged = _promote(signing, signed)
    _approved(signing, merged)
    merge_reviewed(signing.desk(), merged.number, now=signing.now)
    for release in (signed, bare, bad):
        signing.declare("staging", release) if release is not signed else None
        signing.record("staging", release)

    def rules(to: Any) -> set[str]:
        pull = propose_rollback(
            signing.desk(), environment="staging", model="flights", reason="worse", to=to, now=signing.now
        )
        return _approved(signing, pull)

    assert (rules(signed), rules(bare)) == (set(), {"signing"})


def test_a_keyless_policy_believes_its_identity_and_issuer(world: Any) -> None:
    """The verifier is built from what main says; asking Sigstore needs the network and is not tried here."""
    identity = "https://github.com/acme/flights/.github/workflows/train.yml@refs/heads/main"
    settings = KeylessSigning(method="keyless", identity=identity, issuer="https://token.actions.githubusercontent.com")
    assert trust(world.ada, world.ada.main(), settings) == Identity(identity, settings.issuer)
