"""Where a journal's files lie: a folder, or a bucket. Files appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
from pyarrow import fs

from towpath_bento.journal.names import SUFFIX
from towpath_gitops.errors import UnavailableError
from towpath_gitops.files import sweep, write_atomically

_END: Final = b"PAR1"  # of a file of Parquet that is whole
_TRIES: Final = 5  # to read an object that grows between the question for its size and that for its bytes


class Place(Protocol):
    """Keeps files under names of the form <day>/<time>-…; the order of names is that of their beginnings."""

    def write(self, name: str, content: pa.Buffer) -> None:
        """Put a file there, in the place of one of the same name; after a crash it is whole, old or new.

        Raises:
            OSError: it cannot be written; what was there under its name still is.
        """
        ...

    def trim(self, most_bytes: int) -> None:
        """Remove the oldest files until all together hold no more than `most_bytes`, and what dead writers left."""
        ...

    def names(self) -> list[str]:
        """Return the names of all files in order.

        Raises:
            UnavailableError: the place does not answer.
        """
        ...

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading.

        Raises:
            FileNotFoundError: it was removed meanwhile.
        """
        ...


class Folder:
    """A folder, with one folder in it for each day."""

    def __init__(self, path: Path) -> None:
        """Keep files below `path`, which is made when the first is written."""
        self._path = path

    def __str__(self) -> str:
        """Return the path."""
        return str(self._path)

    def write(self, name: str, content: pa.Buffer) -> None:
        """Write through a synced temporary file and a rename."""
        write_atomically(self._path / name, content.to_pybytes())

    def trim(self, most_bytes: int) -> None:
        """Remove the oldest; several workers do so at once, and each may find files gone."""
        for day in self._path.glob("*/"):
            with suppress(FileNotFoundError):
                sweep(day)
        sizes = [(name, size) for name in self.names() if (size := self._size(name)) is not None]
        excess = sum(size for _, size in sizes) - most_bytes
        for name, size in sizes:
            if excess <= 0:
                break
            (self._path / name).unlink(missing_ok=True)
            excess -= size
        self._drop_empty_days()

    def names(self) -> list[str]:
        """Return the names of all files in order; of none where there is no folder."""
        return sorted(f"{path.parent.name}/{path.name}" for path in self._path.glob(f"*/[!.]*{SUFFIX}"))

    def open(self, name: str) -> pa.NativeFile:
        """Open a file by memory map."""
        return pa.memory_map(str(self._path / name))

    def _size(self, name: str) -> int | None:
        try:
            return (self._path / name).stat().st_size
        except FileNotFoundError:
            return None

    def _drop_empty_days(self) -> None:
        days = sorted(self._path.glob("*/"))
        for day in days[:-1]:  # somebody is about to write into the newest
            with suppress(OSError):  # it holds files
                day.rmdir()


class Bucket:
    """A prefix in a bucket of S3; an object appears when all of it has arrived."""

    def __init__(self, address: str) -> None:
        """Keep objects below `address` (s3://bucket/prefix), with the credentials that AWS's own tools would use."""
        self._prefix = address.removeprefix("s3://").rstrip("/")
        self._files = fs.S3FileSystem(
            # What AWS's own tools ask, and Arrow only in some of its versions.
            endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            connect_timeout=2,
            request_timeout=5,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
        )

    def __str__(self) -> str:
        """Return the address."""
        return f"s3://{self._prefix}"

    def write(self, name: str, content: pa.Buffer) -> None:
        """Put an object."""
        with self._files.open_output_stream(f"{self._prefix}/{name}") as stream:
            stream.write(content)

    def trim(self, most_bytes: int) -> None:
        """Leave it to the bucket's lifecycle rules, which need no permission to delete."""

    def names(self) -> list[str]:
        """Return the keys below the prefix in order."""
        return sorted(self._names())

    def open(self, name: str) -> pa.NativeFile:
        """Read an object at once: between two requests for parts of it, it may have grown."""
        for _ in range(_TRIES):
            with self._files.open_input_file(f"{self._prefix}/{name}") as source:
                content = source.read_at(source.size(), 0)
            if content.endswith(_END):
                break
        return pa.BufferReader(content)

    def _names(self) -> Iterator[str]:
        chosen = fs.FileSelector(self._prefix, recursive=True, allow_not_found=True)
        try:
            found = self._files.get_file_info(chosen)
        except OSError as error:
            raise UnavailableError(
                f"{self} cannot be listed", why=str(error), hint="May these credentials read it?"
            ) from error
        for each in found:
            if each.is_file and each.path.endswith(SUFFIX):
                yield each.path.removeprefix(f"{self._prefix}/")


def place_of(address: str | Path) -> Place:
    """Return the place at a path or an address that begins with s3://."""
    return Bucket(address) if isinstance(address, str) and address.startswith("s3://") else Folder(Path(address))
