"""The model registry as gitops sees it: releases found by name, their bytes fetched and checked, their evidence.

MLflow keeps them. It is imported when first used, because that takes seconds, and only its client is used: nothing
here ever opens a model.
"""

import errno
import ipaddress
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from posixpath import dirname
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from towpath_gitops.errors import (
    DigestMismatchError,
    InvalidFileError,
    MissingDependencyError,
    NotFoundError,
    UnavailableError,
)
from towpath_gitops.files import scratch, sync_directory
from towpath_gitops.records.artifact import check_artifact
from towpath_gitops.records.base import SHORT_ID_LENGTH, short
from towpath_gitops.records.evidence import Evidence, Kind
from towpath_gitops.records.image import ImageRecord
from towpath_gitops.records.lineage import Lineage
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.redaction import redacted

RELEASE_TAG = "towpath.release"  # the release as JSON; written last, so that a version without it is half-registered
ID_TAG = "towpath.id"
SEMVER_TAG = "towpath.semver"
ARTIFACT_PATH = "model"  # run artifact path of the artifact's folder
EVIDENCE_PATH = "evidence"
SIGNATURE_PATH = "signature/release.sig"  # beside the artifact, whose digest it must not change
LINEAGE_PATH = "lineage/lineage.json"
CARD_PATH = "card"  # as it is published: its own, timeless, is in the artifact
IMAGES_PATH = "images"  # one record for each image that carries the release
CHAMPION = "champion"  # alias of what the last environment runs

_EVIDENCE = {f"{EVIDENCE_PATH}/{kind}.json": kind for kind in Kind}
_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")
_SHORTEST_PREFIX = 4
_PAGE = 1000
# MLflow reads these from the environment only. Its own defaults would retry a dead server for minutes, sleep for as
# long as a busy one says, be it an hour, draw progress bars between our lines, and send usage statistics.
_MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# They speak of migrations and of each retry; what fails in the end is said by us.
_LOG_LEVELS = {"mlflow": logging.WARNING, "alembic": logging.WARNING, "urllib3.connectionpool": logging.ERROR}


class Registry:
    """Releases in one MLflow model registry."""

    def __init__(self, tracking_uri: str) -> None:
        """Remember where the registry is; nothing is contacted yet.

        Raises:
            InvalidFileError: the address is of a kind that is not allowed, or a link-local one.
        """
        self.tracking_uri = _allowed(tracking_uri)

    @cached_property
    def client(self) -> Any:  # noqa: ANN401 (MLflow has no types)
        """The MLflow client.

        Raises:
            MissingDependencyError: MLflow is not installed.
            UnavailableError: the registry does not answer.
        """
        mlflow = load_mlflow()
        self._make_folder()
        with self._asking("Opening"):
            return mlflow.MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def releases(self, model: str) -> list[Release]:
        """Return the registered releases of a model, newest first.

        A version whose release tag is missing, broken, or speaks of another version is half-registered and does not
        count.
        """
        return [release for release, _ in self._registered(model)]

    def find(self, model: str, selector: str) -> Release:
        """Return the release that a person means.

        `selector` is a version (`3`), a semantic version (`1.2.0`), an id or a unique beginning of one of at least
        four hex digits, or `latest`.

        Raises:
            NotFoundError: none or several match; lists what exists.
        """
        releases = self.releases(model)
        matches = [release for release in releases if _means(selector, release)]
        if selector == "latest":
            matches = releases[:1]
        if len(matches) == 1:
            return matches[0]
        listing = "\n".join(f"  {release}" for release in releases) or "  none"
        many = f"{len(matches)} releases of {model} match" if matches else f"No release of {model} matches"
        raise NotFoundError(
            f"{many} “{selector}”",
            why=f"Registered:\n{listing}",
            hint="Name one by its version, semantic version or id." if releases else "Train one: towpath train",
        )

    def fetch(self, release: Release, store: Path) -> Path:
        """Return the folder of the release's artifact in the content-addressed `store`, fetched when it is not there.

        What lies in the store already is checked again; when its bytes have changed it is fetched anew. Downloads go
        to a folder beside, are checked before anything is opened, synced and renamed, so that several processes may
        fetch the same release at once.

        Raises:
            DigestMismatchError: the registry's bytes are not those that were approved; they were deleted unopened.
            NotFoundError: the registry does not know the release.
            UnavailableError: the registry does not answer.
        """
        target = store / release.artifact.removeprefix("sha256:")
        if _intact(target, release.artifact):
            return target
        with scratch(store, ".incoming-") as incoming:
            folder = self._download(release, incoming)
            check_artifact(folder, release.artifact)
            _sync(folder)
            _install(folder, target, release.artifact, incoming)
        return target

    def evidence(self, release: Release) -> dict[Kind, Evidence]:
        """Return the evidence that was published for a release, by kind.

        Raises:
            InvalidFileError: a file is not evidence, or speaks of another release or kind than its place says.
        """
        run = self._version(release).run_id
        found: dict[Kind, Evidence] = {}
        with self._asking("Reading the evidence in"), TemporaryDirectory(prefix="towpath-") as folder:
            for listed in self.client.list_artifacts(run, EVIDENCE_PATH):
                kind = _EVIDENCE.get(listed.path)
                if kind:
                    path = Path(self.client.download_artifacts(run, listed.path, folder))
                    found[kind] = _evidence_of(release, kind, path)
        return found

    def lineage(self, release: Release) -> Lineage | None:
        """Return what was recorded of a release's origin; None where nothing was.

        Raises:
            InvalidFileError: the record cannot be read, or speaks of another release.
        """
        run = self._version(release).run_id
        with self._asking("Reading the lineage in"), TemporaryDirectory(prefix="towpath-") as folder:
            if not any(item.path == LINEAGE_PATH for item in self.client.list_artifacts(run, dirname(LINEAGE_PATH))):
                return None
            text = Path(self.client.download_artifacts(run, LINEAGE_PATH, folder)).read_bytes()
        found = parse_json(text, Lineage, source=f"{LINEAGE_PATH} of {release}")
        if found.release != release.id:
            raise InvalidFileError(f"The lineage of {release} speaks of another release", why=f"It is {found.release}.")
        return found

    def publish_evidence(self, release: Release, evidence: Evidence) -> None:
        """Keep evidence beside its release; later evidence of a kind replaces the earlier.

        Raises:
            InvalidFileError: the evidence speaks of another release.
        """
        if evidence.release != release.id:
            raise InvalidFileError(f"This {evidence.kind} evidence is about another release than {release}")
        run = self._version(release).run_id
        text = evidence.model_dump_json(by_alias=True, indent=2) + "\n"
        with self._asking("Writing evidence to"):
            self.client.log_text(run, text, f"{EVIDENCE_PATH}/{evidence.kind}.json")

    def publish_report(self, release: Release, kind: Kind, page: bytes) -> None:
        """Keep a page in HTML beside the evidence of a kind; a later one replaces the earlier."""
        run = self._version(release).run_id
        with self._asking("Writing a report to"):
            self.client.log_text(run, page.decode(), f"{EVIDENCE_PATH}/{kind}.html")

    def publish_card(self, release: Release, name: str, text: str) -> None:
        """Keep the file `name` of the release's card; a later one replaces the earlier."""
        run = self._version(release).run_id
        with self._asking("Writing the card to"):
            self.client.log_text(run, text, f"{CARD_PATH}/{name}")

    def metrics(self, release: Release) -> dict[str, float]:
        """Return what the training of a release logged: `test_<metric>` with `_low` and `_high`, and its cost."""
        run = self._version(release).run_id
        with self._asking("Reading the metrics in"):
            return {name: float(value) for name, value in self.client.get_run(run).data.metrics.items()}

    def signature(self, release: Release) -> bytes | None:
        """Return the signature that was published for a release, or None; whether it holds is asked elsewhere."""
        run = self._version(release).run_id
        with self._asking("Reading the signature in"), TemporaryDirectory(prefix="towpath-") as folder:
            if any(item.path == SIGNATURE_PATH for item in self.client.list_artifacts(run, dirname(SIGNATURE_PATH))):
                return Path(self.client.download_artifacts(run, SIGNATURE_PATH, folder)).read_bytes()
        return None

    def publish_signature(self, release: Release, signature: bytes) -> None:
        """Keep a signature beside its release; a later one replaces the earlier."""
        run = self._version(release).run_id
        with self._asking("Writing the signature to"):
            self.client.log_text(run, signature.decode(), SIGNATURE_PATH)

    def images(self, release: Release) -> tuple[ImageRecord, ...]:
        """Return the records of the images that carry a release, newest first.

        Raises:
            InvalidFileError: one cannot be read, or speaks of another release than its place says.
        """
        run = self._version(release).run_id
        with self._asking("Reading the images in"), TemporaryDirectory(prefix="towpath-") as folder:
            paths = [listed.path for listed in self.client.list_artifacts(run, IMAGES_PATH)]
            texts = {path: Path(self.client.download_artifacts(run, path, folder)).read_bytes() for path in paths}
        found = [parse_json(text, ImageRecord, source=f"{path} of {release}") for path, text in texts.items()]
        for record in found:
            _require_of(record, release)
        return tuple(sorted(found, key=lambda record: record.created, reverse=True))

    def publish_image(self, release: Release, record: ImageRecord) -> None:
        """Keep the record of an image beside its release, whose own digests it does not change.

        Raises:
            InvalidFileError: the record speaks of another release.
        """
        _require_of(record, release)
        run = self._version(release).run_id
        text = record.model_dump_json(by_alias=True, indent=2) + "\n"
        with self._asking("Writing the image's record to"):
            self.client.log_text(run, text, f"{IMAGES_PATH}/{short(record.digest)}.json")

    def aliases(self, model: str) -> dict[str, int]:
        """Return alias → version of a model; empty when the registry does not know it."""
        with self._asking("Reading the aliases in"):
            try:
                found = self.client.get_registered_model(model).aliases
            except load_mlflow().MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise
        return {alias: int(version) for alias, version in found.items()}

    def set_alias(self, release: Release, alias: str) -> None:
        """Let an alias name a release. Aliases are derived from git for people to read; nothing here obeys them."""
        with self._asking(f"Setting the alias {alias} in"):
            self.client.set_registered_model_alias(release.model, alias, str(release.version))

    def _registered(self, model: str) -> list[tuple[Release, Any]]:
        """Return the releases of a model with their MLflow versions, newest first."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", model):
            return []
        versions: list[Any] = []
        token: str | None = None
        with self._asking("Listing the releases in"):
            while token is None or token:
                page = self.client.search_model_versions(f"name='{model}'", max_results=_PAGE, page_token=token)
                versions += page
                token = page.token or ""
        pairs = [(_release_of(version), version) for version in versions]
        counted = [(release, version) for release, version in pairs if release is not None]
        return sorted(counted, key=lambda pair: pair[0].version, reverse=True)

    def _version(self, release: Release) -> Any:  # noqa: ANN401 (MLflow has no types)
        for known, version in self._registered(release.model):
            if known.id == release.id:
                return version
        raise NotFoundError(
            f"The registry does not hold {release}",
            why=f"No version at {_shown(self.tracking_uri)} carries this id.",
            hint="Check MLFLOW_TRACKING_URI: was it registered elsewhere?",
        )

    def _download(self, release: Release, into: Path) -> Path:
        version = self._version(release)
        with self._asking("Downloading from"):
            return Path(self.client.download_artifacts(version.run_id, ARTIFACT_PATH, str(into)))

    def _make_folder(self) -> None:
        """Make the folder of a SQLite registry: SQLite makes its file, but not the way there."""
        if self.tracking_uri.startswith("sqlite:///"):
            Path(self.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Turn whatever MLflow raises into the one retryable failure, with the registry's address."""
        refusal = load_mlflow().MlflowException
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 (takes long to import; comes with MLflow)

        try:
            yield
        except (refusal, SQLAlchemyError, OSError) as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            raise UnavailableError(
                f"{doing} the model registry at {_shown(self.tracking_uri)} failed",
                why=redacted(words[0])[:300],  # cut only after that: half a secret would not be known for one
                hint="Is it running, is MLFLOW_TRACKING_URI right, and is there room on the disk? Then try again.",
            ) from error


def load_mlflow() -> Any:  # noqa: ANN401 (MLflow has no types)
    """Return MLflow, imported quietly: the client and its exception class are all that is used of it.

    Raises:
        MissingDependencyError: it is not installed.
    """
    for name, value in _MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow  # noqa: PLC0415 (takes seconds to import)
    except ImportError as error:
        raise MissingDependencyError(
            "MLflow is not installed", why=str(error), hint="pip install 'towpath[registry]'"
        ) from error
    for name, level in _LOG_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    return mlflow


def _allowed(uri: str) -> str:
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme not in _SCHEMES:
        raise InvalidFileError(
            f"{_shown(uri)} is not an address of a model registry",
            why=f"Its scheme is not one of {', '.join(_SCHEMES)}.",
            hint="Set MLFLOW_TRACKING_URI to https://… or sqlite:///….",
        )
    with suppress(ValueError):  # a host name is not an address
        if ipaddress.ip_address(urlsplit(uri).hostname or "").is_link_local:
            raise InvalidFileError(
                f"{_shown(uri)} is a link-local address", why="Clouds hand out credentials there, not models."
            )
    return uri


def _shown(uri: str) -> str:
    """Return an address without the user and password that it may hold."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query="")) if parts.netloc else uri


def _release_of(version: Any) -> Release | None:  # noqa: ANN401 (MLflow has no types)
    text = version.tags.get(RELEASE_TAG)
    try:
        release = parse_json(text, Release, source=RELEASE_TAG) if text else None
    except InvalidFileError:
        return None
    if release is None or (release.model, release.version) != (version.name, int(version.version)):
        return None
    return release


def _means(selector: str, release: Release) -> bool:
    prefix = selector.removeprefix("sha256:")
    named = selector in {str(release.version), release.semver, release.id}
    hexadecimal = len(prefix) >= _SHORTEST_PREFIX and re.fullmatch(r"[0-9a-f]+", prefix) is not None
    # A short row of decimal digits is a version; twelve of them are a short id that happens to have no letter.
    hexadecimal = hexadecimal and (not selector.isdecimal() or len(selector) >= SHORT_ID_LENGTH)
    return named or (hexadecimal and release.id.removeprefix("sha256:").startswith(prefix))


def _evidence_of(release: Release, kind: Kind, path: Path) -> Evidence:
    evidence = parse_json(path.read_bytes(), Evidence, source=f"{kind}.json of {release}")
    if (evidence.release, evidence.kind) != (release.id, kind):
        raise InvalidFileError(
            f"The {kind} evidence of {release} speaks of another release or kind",
            why=f"It is {evidence.kind} evidence about {evidence.release}.",
        )
    return evidence


def _require_of(record: ImageRecord, release: Release) -> None:
    if (record.release, record.artifact) != (release.id, release.artifact):
        raise InvalidFileError(f"This image does not carry {release}", why=f"It carries {record.release}.")


def _intact(folder: Path, artifact: str) -> bool:
    if not folder.is_dir():
        return False
    try:
        check_artifact(folder, artifact)
    except (DigestMismatchError, FileNotFoundError):  # the latter: replaced by another process while being read
        return False
    return True


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_directory(folder)


def _install(folder: Path, target: Path, artifact: str, aside: Path) -> None:
    """Rename a checked folder to its place; whoever was there first with the right bytes may stay."""
    with suppress(FileNotFoundError):
        if not _intact(target, artifact):
            target.replace(aside / f"damaged-{secrets.token_hex(6)}")
    try:
        folder.replace(target)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        check_artifact(target, artifact)  # another process was faster
    sync_directory(target.parent)
