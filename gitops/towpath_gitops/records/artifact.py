"""The files of a model's artifact and the one digest over them all."""

from pathlib import Path

from towpath_gitops.errors import DigestMismatchError
from towpath_gitops.records.base import digest_file, digest_of

GRAPH = "model.onnx"
PIPELINE = "pipeline.skops"
SIGNATURE = "signature.json"
GOLDEN = "golden.json"
REFERENCE = "reference.parquet"
CARD_MARKDOWN = "card.md"
CARD_HTML = "card.html"
CODE = "code"  # folder of the modules of an owner that the pipeline is made of, where it needs any


def manifest(folder: Path) -> dict[str, str]:
    """Return path → digest for every file below `folder`, with forward slashes.

    Raises:
        DigestMismatchError: the folder holds a symbolic link or another thing that is not a plain file.
    """
    files: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise DigestMismatchError(f"{path} is not a plain file", why="A model's artifact holds plain files only.")
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = digest_file(path)
    return files


def manifest_digest(folder: Path) -> str:
    """Return the digest over every file of the artifact in `folder`: a byte, a file or a name changed changes it."""
    return digest_of(manifest(folder))


def check_artifact(folder: Path, expected: str) -> None:
    """Compare a folder with the artifact digest that was approved, before anything in it is opened.

    Raises:
        DigestMismatchError: naming both digests.
    """
    found = manifest_digest(folder)
    if found != expected:
        raise DigestMismatchError(
            f"The artifact in {folder} is not the one that was approved",
            why=f"Expected {expected}, found {found}.",
            hint="It was not opened. Find out who changed the model store before anything else.",
        )
