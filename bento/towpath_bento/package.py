"""A release becomes a Bento: the service, the release's artifact and the few libraries that serving needs, pinned."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import towpath_bento
import towpath_gitops
from towpath_bento.declared import needed_libraries
from towpath_bento.engines.native import BOOSTERS
from towpath_bento.engines.native import LIBRARIES as NATIVE
from towpath_bento.engines.owners import read_code
from towpath_bento.image.bill import BILL, bill_of_materials
from towpath_bento.image.locked import REQUIREMENTS, locked
from towpath_bento.packaged import MODEL_FOLDER, RELEASE_FILE
from towpath_bento.pins import requirements
from towpath_bento.vitals import VERSION_VARIABLE
from towpath_gitops.errors import DeliveryError, NotFoundError
from towpath_gitops.records.artifact import CODE, SIGNATURE, check_artifact
from towpath_gitops.records.parsing import dump_yaml, parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

SERVICE: Final = "service.py"
_SERVING: Final = ("bentoml", "msgspec", "numpy", "prometheus-client", "psutil", "pydantic", "ruamel.yaml")
_OURS: Final = (towpath_gitops, towpath_bento)
_NOT_CODE: Final = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True)
class PackagedBento:
    """A Bento in a folder: `bentoml serve FOLDER` runs it, `towpath image build` makes an image of it."""

    tag: str
    folder: Path
    requirements: tuple[str, ...]
    unvouched: tuple[str, ...]  # those of the requirements of which no hash is known


def package(release: Release, artifact: Path, code: Path, into: Path, lock: Path | None = None) -> PackagedBento:
    """Build a Bento that serves `release` by itself.

    The Bento holds the files of the folder `code` (`service.py` among them), the artifact, and Towpath's own serving
    code, so that its environment needs neither an index with Towpath in it nor any training library.

    Args:
        release: what is packaged.
        artifact: the folder with its files; compared with the release's digest before anything in it is opened.
        code: the `bento/` folder of the commit that is deployed.
        into: where the Bento's folder is made, as `<model>/<version>`; one that is there already is replaced.
        lock: the lock file of the repository, with hashes; without it no requirement has one, which the result says.

    Raises:
        DigestMismatchError: the artifact is not the release's.
        NotFoundError: `code` holds no `service.py`.
        MissingDependencyError: a library that the Bento needs is not installed here, so its version cannot be pinned.
        DeliveryError: `service.py` or `bentoml build` fails; its output is the reason.
    """
    check_artifact(artifact, release.artifact)
    if not (code / SERVICE).is_file():
        raise NotFoundError(f"There is no {SERVICE} in {code}", hint="It is part of every model repository: bento/.")
    signature = parse_json((artifact / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
    roots = _roots(artifact, signature, needed_libraries(code / SERVICE))
    pins = locked(requirements(roots), lock)
    version = f"{release.semver}-{release.short_id}"
    with tempfile.TemporaryDirectory(prefix="towpath-package-") as scratch:
        context, home = Path(scratch, "context"), Path(scratch, "home")
        _fill(context, release, artifact, code)
        (context / REQUIREMENTS).write_text(pins.text())
        (context / BILL).write_bytes(bill_of_materials(release, pins.hashes))
        (context / "bentofile.yaml").write_text(dump_yaml(_options(release, tuple(pins.hashes))))
        _build(context, home, version)
        built = home / "bentos" / release.model / version
        (built / "env" / "python" / REQUIREMENTS).write_text(pins.text())  # BentoML would leave the hashes out
        folder = into / release.model / version
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(built, folder)
    return PackagedBento(f"{release.model}:{version}", folder, tuple(pins.hashes), pins.unvouched)


def _roots(artifact: Path, signature: Signature, needed: tuple[str, ...]) -> tuple[str, ...]:
    onnx, native = signature.engine == "onnx", signature.engine == "native" or set(NATIVE) <= set(needed)
    boosters = [library for name, library in BOOSTERS.items() if (artifact / name).is_file()]
    code = read_code(artifact / CODE, signature.code).libraries if signature.code else ()
    own = (*code, *("onnxruntime",) * onnx, *(*NATIVE, *boosters) * native)
    return tuple(dict.fromkeys((*_SERVING, *own, *needed)))


def _fill(context: Path, release: Release, artifact: Path, code: Path) -> None:
    shutil.copytree(code, context, ignore=_NOT_CODE)
    shutil.copytree(artifact, context / MODEL_FOLDER)
    (context / RELEASE_FILE).write_text(release.model_dump_json(by_alias=True, indent=2))
    for module in _OURS:
        shutil.copytree(Path(str(module.__file__)).parent, context / module.__name__, ignore=_NOT_CODE)


def _options(release: Release, pins: tuple[str, ...]) -> dict[str, object]:
    return {
        "service": f"{Path(SERVICE).stem}:service",
        "labels": {"release": release.short_id, "semver": release.semver},
        "include": ["*"],
        "python": {"packages": list(pins), "lock_packages": False},
        "docker": {"python_version": f"{sys.version_info.major}.{sys.version_info.minor}"},
        # On a machine the service listens on loopback; in a container that would reach nobody. These become ENV lines.
        "envs": [
            {"name": "BENTOML_HOST", "value": "0.0.0.0"},  # noqa: S104 (inside a container)
            {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
            {"name": VERSION_VARIABLE, "value": metadata.version("towpath")},
        ],
    }


def _build(context: Path, home: Path, version: str) -> None:
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "build", "--version", version, "."]
    done = subprocess.run(command, cwd=context, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeliveryError("The release could not be packaged", why=(done.stderr or done.stdout).strip())
