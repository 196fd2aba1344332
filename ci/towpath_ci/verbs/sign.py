"""`towpath sign`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from towpath_ci.console import mark, next_step, plain, say, working
from towpath_ci.lazy import verb
from towpath_ci.verbs.releases import declared_where
from towpath_ci.workspace import Workspace
from towpath_gitops import layout
from towpath_gitops.errors import InvalidFileError, RefusedError, SignatureError, TowpathError
from towpath_gitops.files import write_atomically
from towpath_gitops.promotion.signatures import standing
from towpath_gitops.records.artifact import manifest
from towpath_gitops.records.policy import KeylessSigning
from towpath_gitops.records.release import Release
from towpath_gitops.signers import KEY_VARIABLE, PASSPHRASE_VARIABLE, Identity, configured, new_key_pair
from towpath_gitops.signing import Signer
from towpath_gitops.signing import sign as signature_of

app = verb()

ToSign = Annotated[
    str | None,
    typer.Argument(metavar="[RELEASE]", help="Version (3), semantic version (1.2.0), id or its beginning, or latest."),
]
Key = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help=f"The private key; by default what {KEY_VARIABLE} names.")
]
Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write the signature to a file, too.")]
NewKey = Annotated[Path | None, typer.Option("--new-key", metavar="DIR", help="Make a key pair in this folder.")]


@app.command(epilog="Example: towpath sign 1.2.0 --key ~/keys/signing.key")
def sign(release: ToSign = None, *, key: Key = None, output: Output = None, new_key: NewKey = None) -> None:
    """Vouch for a release: sign its id and every byte of its artifact.

    The signature is kept in the registry beside the release and travels onto main with its promotion, where
    policy.signing decides whose signatures count. The format is that of OpenSSF model signing. The key's passphrase is
    read from TOWPATH_SIGNING_PASSPHRASE.
    """
    if new_key is not None:
        _make_pair(new_key)
        return
    if release is None:
        raise InvalidFileError(
            "Say which release", hint="towpath sign latest --key FILE, or: towpath sign --new-key DIR"
        )
    workspace = Workspace.here()
    signer = _signer(workspace, key)
    with working("Signing"):
        found = workspace.find(release)
        folder = workspace.registry.fetch(found, layout.store(workspace.root))
        signature = signature_of(found, manifest(folder), signer)
        workspace.registry.publish_signature(found, signature)
    if output:
        write_atomically(output, signature)
    say(f"{mark('ok')} Signed [bold]{plain(found)}[/]")
    _tell(workspace, found, signature)


def _signer(workspace: Workspace, path: Path | None) -> Signer:
    key = configured(path)
    if key is not None:
        return key
    settings = workspace.policy.signing if workspace.is_published else None
    if isinstance(settings, KeylessSigning):
        return Identity(settings.identity, settings.issuer)
    raise InvalidFileError(
        "There is no key to sign with",
        why=f"Neither --key nor {KEY_VARIABLE} names one.",
        hint="towpath sign RELEASE --key FILE; make a pair with: towpath sign --new-key DIR",
    )


def _tell(workspace: Workspace, release: Release, signature: bytes) -> None:
    """Say what the signature is worth by main's policy, and how it gets there."""
    if not workspace.is_published:
        return
    try:
        found = standing(workspace.repository, workspace.main, release, signature)
    except SignatureError as error:
        say(f"{mark('warn')} {plain(error.what)}: {plain(error.why)}")
        return
    except TowpathError as error:
        say(f"{mark('warn')} Whether main believes it is not known: {plain(error.what)}")
        return
    if not found.asked:
        say(f"{mark('warn')} {layout.POLICY} asks for no signature yet.")
    if release.id in declared_where(workspace):
        path = layout.signature_path(release.short_id)
        say(f"It is declared already: commit the signature in a pull request as {path} (see --output).")
    else:
        next_step(f"towpath promote {release.short_id} --to {workspace.environments[0]}")


def _make_pair(folder: Path) -> None:
    _refuse_inside_a_repository(folder)
    private, public = new_key_pair(folder, os.environ.get(PASSPHRASE_VARIABLE) or None)
    say(f"{mark('ok')} {plain(private)} signs; keep it secret. {plain(public)} shows who signed; everybody may see it.")
    say("Let main believe it, in a pull request:")
    say(f"    mkdir -p gitops/keys && cp {plain(public)} gitops/keys/me.pub")
    say(plain("    gitops/policy.yaml: signing: {method: key, keys: [gitops/keys/me.pub], unsigned: refuse}"))
    next_step(f"towpath sign latest --key {private}", f"export {KEY_VARIABLE}={private}")


def _refuse_inside_a_repository(folder: Path) -> None:
    """Keep a private key from where the next `git add --all` would publish it.

    Raises:
        RefusedError: the folder lies in a git repository.
    """
    place = folder.absolute()
    if any((parent / ".git").exists() for parent in (place, *place.parents)):
        raise RefusedError(
            f"{folder} lies in a git repository",
            why="A private key there is one `git add --all` away from everybody.",
            hint="Name a folder outside: towpath sign --new-key ~/keys",
        )
