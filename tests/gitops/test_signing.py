"""Signatures of releases: made and checked by the real library, with keys made for the test."""

import json
import stat
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops import signers
from towpath_gitops.errors import (
    InvalidFileError,
    MissingDependencyError,
    NotFoundError,
    SignatureError,
    UnavailableError,
)
from towpath_gitops.records.artifact import manifest
from towpath_gitops.records.base import canonical_json, digest_of
from towpath_gitops.records.release import Release
from towpath_gitops.signers import Identity, PrivateKey, PublicKeys, new_key_pair
from towpath_gitops.signing import ARTIFACT, RELEASE_FILE, check, sign

FILES = {"model.onnx": digest_of("graph"), "deep/er/signature.json": digest_of("inputs"), ".gitignore": digest_of("")}


def release(files: dict[str, str] = FILES, version: int = 1) -> Release:
    """Return a release whose artifact holds the files."""
    return Release(
        model="flights",
        version=version,
        semver="1.0.0",
        artifact=digest_of(files),
        input_schema=digest_of("schema"),
        data=digest_of("data"),
        code="c" * 40,
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key pair."""
    return new_key_pair(tmp_path_factory.mktemp("keys"))[0].parent


@pytest.fixture(scope="module")
def trust(keys: Path) -> PublicKeys:
    """Believe that pair."""
    return PublicKeys({"gitops/keys/ada.pub": (keys / signers.PUBLIC).read_bytes()})


@pytest.fixture(scope="module")
def signature(keys: Path) -> bytes:
    """A good signature of the release."""
    return sign(release(), FILES, PrivateKey(keys / signers.PRIVATE))


def test_a_signature_names_the_key_that_made_it(signature: bytes, trust: PublicKeys) -> None:
    """What one half of a pair has signed, the other half confirms."""
    assert check(signature, release(), trust) == "gitops/keys/ada.pub"


def test_a_stranger_can_check_it_with_the_tool_that_everybody_has(tmp_path: Path) -> None:
    """`model_signing verify key`, on a folder with release.json and model/, agrees; and disagrees with another byte."""
    folder = tmp_path / "release"
    (folder / ARTIFACT / "deep").mkdir(parents=True)
    (folder / ARTIFACT / "model.onnx").write_bytes(b"graph")
    (folder / ARTIFACT / "deep" / "er.json").write_bytes(b"{}")
    files = manifest(folder / ARTIFACT)
    (folder / RELEASE_FILE).write_bytes(canonical_json(release(files).plain()))
    private, public = new_key_pair(tmp_path / "keys")
    (tmp_path / "sig").write_bytes(sign(release(files), files, PrivateKey(private)))

    def verified() -> int:
        arguments = ["verify", "key", str(folder), "--signature", "sig", "--public_key", str(public)]
        return subprocess.run(
            [sys.executable, "-m", "model_signing", *arguments], cwd=tmp_path, capture_output=True, check=False
        ).returncode

    assert verified() == 0
    (folder / ARTIFACT / "model.onnx").write_bytes(b"grapf")
    assert verified() != 0


@pytest.mark.parametrize(
    "files",
    [
        FILES | {"model.onnx": digest_of("another graph")},
        FILES | {"more.pkl": digest_of("more")},
        FILES | {".gitignore": digest_of("*")},
        {name: FILES[name] for name in list(FILES)[1:]},
        {"renamed.onnx" if name == "model.onnx" else name: value for name, value in FILES.items()},
    ],
    ids=["a byte", "a file more", "a file that git hides", "a file less", "another name"],
)
def test_a_signature_fits_the_very_files_only(signature: bytes, trust: PublicKeys, files: dict[str, str]) -> None:
    """An artifact with anything changed is another artifact, and its release another release."""
    with pytest.raises(SignatureError, match="not one of flights"):
        check(signature, release(files), trust)


def test_a_signature_of_another_release_is_refused_even_with_the_same_files(
    signature: bytes, trust: PublicKeys
) -> None:
    """Two versions may hold equal bytes: each is signed by itself."""
    with pytest.raises(SignatureError, match="names another release"):
        check(signature, release(version=2), trust)


def test_nobody_signs_files_that_are_not_the_releases(keys: Path) -> None:
    """Whoever signs has the release's own files before them."""
    with pytest.raises(SignatureError, match="not the files"):
        sign(release(), FILES | {"model.onnx": digest_of("x")}, PrivateKey(keys / signers.PRIVATE))


def test_a_strangers_key_is_refused(signature: bytes, keys: Path, tmp_path: Path) -> None:
    """Only the keys that are believed count, and any of them will do."""
    stranger = new_key_pair(tmp_path)[1].read_bytes()
    with pytest.raises(SignatureError, match="Nobody whom the policy names"):
        check(signature, release(), PublicKeys({"other.pub": stranger}))
    both = PublicKeys({"other.pub": stranger, "ada.pub": (keys / signers.PUBLIC).read_bytes()})
    assert check(signature, release(), both) == "ada.pub"


@given(st.data())
def test_any_edited_byte_of_the_signature_is_found_or_means_nothing(
    signature: bytes, trust: PublicKeys, data: st.DataObject
) -> None:
    """Whatever byte is replaced, what is still accepted says and proves exactly the same."""
    position = data.draw(st.integers(0, len(signature) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != signature[position]))
    edited = signature[:position] + bytes([byte]) + signature[position + 1 :]
    try:
        check(edited, release(), trust)
    except SignatureError:
        return
    envelopes = [json.loads(text)["dsseEnvelope"] for text in (edited, signature)]
    assert envelopes[0]["payload"] == envelopes[1]["payload"]
    assert b64decode(envelopes[0]["signatures"][0]["sig"]) == b64decode(envelopes[1]["signatures"][0]["sig"])


def edited(signature: bytes, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """Return a signature whose statement was edited, as somebody without the key would do it."""
    bundle = json.loads(signature)
    statement = json.loads(b64decode(bundle["dsseEnvelope"]["payload"]))
    edit(statement)
    bundle["dsseEnvelope"]["payload"] = b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(bundle).encode()


def _ignore(statement: dict[str, Any]) -> None:
    statement["predicate"]["serialization"]["ignore_paths"] = ["model"]


def _old_predicate(statement: dict[str, Any]) -> None:
    statement["predicateType"] = "https://model_signing/Digests/v0.1"


def _twice(statement: dict[str, Any]) -> None:
    resources = statement["predicate"]["resources"]
    resources.append(resources[0] | {"digest": "0" * 64})


def _weak(statement: dict[str, Any]) -> None:
    statement["predicate"]["resources"][0]["algorithm"] = "blake2"


def _whitespace(statement: dict[str, Any]) -> None:
    statement["predicate"]["more"] = "words"


@pytest.mark.parametrize("edit", [_ignore, _old_predicate, _twice, _weak, _whitespace])
def test_a_statement_that_was_not_signed_is_refused(
    signature: bytes, trust: PublicKeys, edit: Callable[[dict[str, Any]], None]
) -> None:
    """Files left out, an older format, a file listed twice, a weaker digest, words nobody signed."""
    with pytest.raises(SignatureError):
        check(edited(signature, edit), release(), trust)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", b"\xff", b'{"dsseEnvelope": {"payload": 1}}', b"[" * 9999]
)
def test_what_is_no_signature_is_refused(trust: PublicKeys, text: bytes) -> None:
    """Whatever lies where a signature should."""
    with pytest.raises(SignatureError, match="not in the format"):
        check(text, release(), trust)


def test_a_signature_as_large_as_a_disk_is_not_read(trust: PublicKeys) -> None:
    """Its size is limited before anything is parsed."""
    with pytest.raises(SignatureError, match="larger"):
        check(b" " * (5 * 1024**2), release(), trust)


def test_a_new_pair_is_readable_by_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    """The private half has the permissions of a secret, and a second call destroys nothing."""
    private, public = new_key_pair(tmp_path / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PUBLIC KEY" in public.read_bytes()
    before = private.read_bytes()
    with pytest.raises(InvalidFileError, match="already"):
        new_key_pair(tmp_path / "keys")
    assert private.read_bytes() == before


def test_a_passphrase_is_needed_where_there_is_one(tmp_path: Path) -> None:
    """The right one signs; a wrong one, none, or one too many does not, and is never repeated."""
    private, public = new_key_pair(tmp_path / "locked", "correct horse")
    signature = sign(release(), FILES, PrivateKey(private, "correct horse"))
    assert check(signature, release(), PublicKeys({"k": public.read_bytes()})) == "k"
    open_key = new_key_pair(tmp_path / "open")[0]
    for key in (PrivateKey(private, "battery staple"), PrivateKey(private), PrivateKey(open_key, "battery staple")):
        with pytest.raises(InvalidFileError, match="cannot be used") as caught:
            sign(release(), FILES, key)
        assert "battery" not in str(caught.value) + repr(key)


def test_what_is_no_key_is_said(tmp_path: Path, signature: bytes) -> None:
    """A missing file, a file of something else, a public half where the private one should be, another kind of key."""
    with pytest.raises(NotFoundError):
        sign(release(), FILES, PrivateKey(tmp_path / "none"))
    public = new_key_pair(tmp_path)[1]
    with pytest.raises(InvalidFileError, match="cannot be used"):
        sign(release(), FILES, PrivateKey(public))
    for pem in (b"", b"ssh-rsa AAAA", _rsa()):
        with pytest.raises(InvalidFileError, match="not a public key"):
            check(signature, release(), PublicKeys({"k.pub": pem}))


def _rsa() -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 (only here)
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 (as above)

    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_without_the_network_a_keyless_signature_is_unavailable_and_nothing_else(
    signature: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sigstore cannot be asked here; that it was not asked is never a yes."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(UnavailableError, match="Sigstore does not answer"):
        check(signature, release(), Identity("ada@example.org", "https://accounts.example.org"))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, signature: bytes) -> None:
    """A machine that has no need of signatures need not install it."""
    signers._library.cache_clear()
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(MissingDependencyError, match=r"towpath\[signing\]"):
        check(signature, release(), PublicKeys({"k": b""}))
