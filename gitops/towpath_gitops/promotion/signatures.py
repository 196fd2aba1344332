"""Is a release signed as main's policy asks? The keys are main's own: whoever could bring a key could bring a release.

The signature travels with the promotion and lies on main, so that the question is answered offline, whatever happens
to the registry, and again with today's keys at every reconcile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError, SignatureError
from towpath_gitops.promotion.requirement import Reason
from towpath_gitops.records.deployment import Deployment
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import KeylessSigning, KeySigning, Policy, Signing
from towpath_gitops.records.release import Release
from towpath_gitops.repository import Repository
from towpath_gitops.signers import Identity, PublicKeys
from towpath_gitops.signing import Trust, check


@dataclass(frozen=True)
class Standing:
    """How it stands with a release's signature."""

    asked: bool  # whether main's policy asks for one
    signer: str | None = None  # path of the key, or the identity; None when it is not signed

    @property
    def note(self) -> str | None:
        """What a person should know although nothing is refused."""
        return "It is not signed, which policy.signing allows." if self.asked and self.signer is None else None


def standing(repository: Repository, main: str, release: Release, signature: bytes | None) -> Standing:
    """Return how it stands with a release's signature, by the policy and the keys of the commit `main`.

    Raises:
        SignatureError: it has none and the policy refuses that, or it has one that is wrong, which is always refused.
        InvalidFileError: the policy, or a key that it names, is missing or broken.
        UnavailableError: keyless: Sigstore does not answer.
    """
    text = repository.read(main, layout.POLICY)
    settings = parse_yaml(text, Policy, source=layout.POLICY).signing if text else None
    if settings is None:
        return Standing(asked=False)
    if signature is not None:
        return Standing(asked=True, signer=check(signature, release, trust(repository, main, settings)))
    if settings.unsigned == "allow":
        return Standing(asked=True)
    raise SignatureError(
        f"{release} is not signed",
        why=f"{layout.POLICY} refuses what nobody vouches for.",
        hint=f"Let a key holder run: towpath sign {release.short_id} --key FILE; then promote it again.",
    )


def unsigned(
    repository: Repository, main: str, after: Deployment, signatures: Callable[[Release], bytes | None]
) -> Iterator[Reason]:
    """Object to each release that `after` would put into service without the signature that main's policy asks for.

    Raises:
        InvalidFileError, UnavailableError: as `standing`.
    """
    pinned = (after.release, after.experiment.challenger if after.experiment else None)
    for release in [block.release(after.model) for block in pinned if block]:
        try:
            standing(repository, main, release, signatures(release))
        except SignatureError as error:
            yield Reason(rule="signing", what=f"{error.what}. {error.why}", mend=error.hint)


def signature_at(repository: Repository, commit: str, release: Release) -> bytes | None:
    """Return the signature of a release that a commit holds, or None.

    Raises:
        InvalidFileError: it is a symbolic link.
    """
    return repository.read_bytes(commit, layout.signature_path(release.short_id))


def trust(repository: Repository, main: str, settings: Signing) -> Trust:
    """Return whom the policy of the commit `main` believes.

    Raises:
        InvalidFileError: a key that it names is not on main, or is a symbolic link.
    """
    return _TRUST[settings.method](repository, main, settings)


def _keys(repository: Repository, main: str, settings: Signing) -> Trust:
    assert isinstance(settings, KeySigning)  # noqa: S101 (narrows the type: the table says so)
    found: dict[str, bytes] = {}
    for path in settings.keys:
        pem = repository.read_bytes(main, path)
        if pem is None:
            raise InvalidFileError(
                f"{layout.POLICY} names the public key {path}, which is not on main",
                why="Signatures are checked with the keys of main only.",
                hint=f"Commit it, or take it out of policy.signing.keys: git add {path}",
            )
        found[path] = pem
    return PublicKeys(found)


def _identity(_: Repository, __: str, settings: Signing) -> Trust:
    assert isinstance(settings, KeylessSigning)  # noqa: S101 (as above)
    return Identity(settings.identity, settings.issuer)


_TRUST: Final[dict[str, Callable[[Repository, str, Signing], Trust]]] = {"key": _keys, "keyless": _identity}
