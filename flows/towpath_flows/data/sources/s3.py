"""Objects in S3: one, or all below a prefix in the order of their keys, in the formats of files.

Credentials come from a Prefect block, or from where AWS's own tools look for them. Each object goes to a file first, so
that no more of it is in memory than of a file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from towpath_flows.data.sources.base import Input, Part, Request, missing
from towpath_flows.data.sources.files import LISTED, read_file, require_readable
from towpath_flows.data.sources.packed import ending
from towpath_flows.data_spec import DuckdbSource, S3Source
from towpath_gitops.errors import NotFoundError, UnavailableError
from towpath_gitops.files import scratch
from towpath_gitops.layout import state
from towpath_gitops.records.base import digest_file


def describe(spec: S3Source) -> str:
    """Return the address."""
    return spec.s3


def read(spec: S3Source, request: Request, note: Callable[[Input], None]) -> Iterator[Part]:
    """Yield the rows of each object in pieces; see `towpath_flows.data.sources.base.Source`.

    Raises:
        NotFoundError: there is no such object, block or bucket, or nothing that can be read below the prefix.
        UnavailableError: S3 does not answer, or does not let these credentials read.
    """
    with scratch(state(request.root, "incoming"), ".s3-") as folder:
        for name, path in fetched(client_of(spec), spec.s3, folder):
            yield from read_file(path, name, request, spec.csv)
            note(Input(name, digest_file(path), path.stat().st_size))
            path.unlink()


def fetched(client: Any, address: str, folder: Path) -> Iterator[tuple[str, Path]]:  # noqa: ANN401 (boto3 makes its types when it runs)
    """Yield the address of each object, and the file in `folder` that it went to, one after the other.

    Raises:
        NotFoundError: there is no such object or bucket, or nothing that can be read below the prefix.
        UnavailableError: S3 does not answer, or does not let these credentials read.
    """
    bucket, key = address.removeprefix("s3://").split("/", 1)
    for number, each in enumerate(_keys(client, bucket, key, address)):
        path = folder / f"object{number}{ending(PurePosixPath(each))}"
        _download(client, bucket, each, path)
        yield f"s3://{bucket}/{each}", path


def client_of(spec: S3Source | DuckdbSource) -> Any:  # noqa: ANN401 (boto3 makes its types when it runs)
    """Return the S3 client of the block that model.yaml names."""
    try:
        from prefect_aws import AwsCredentials, S3Bucket  # noqa: PLC0415 (heavy, and an extra)
    except ImportError as error:
        raise missing("prefect-aws", "aws", error) from error
    if spec.block is not None:
        credentials = _load(S3Bucket, spec.block).credentials
    elif spec.credentials is not None:
        credentials = _load(AwsCredentials, spec.credentials)
    else:
        credentials = AwsCredentials()
    settings = credentials.aws_client_parameters.get_params_override()
    return credentials.get_boto3_session().client("s3", **settings)  # prefect-aws would keep it for ever


def _load(kind: Any, name: str) -> Any:  # noqa: ANN401 (Prefect's blocks)
    try:
        return kind.load(name)
    except ValueError as error:
        raise NotFoundError(
            f"Prefect has no block {name} of type {kind.__name__}",
            why="model.yaml names it under data.train.",
            hint=f"Make it on Prefect's page, or with {kind.__name__}(…).save({name!r}).",
        ) from error


def _keys(client: Any, bucket: str, key: str, address: str) -> list[str]:  # noqa: ANN401 (as above)
    if not key.endswith("/"):
        require_readable(PurePosixPath(key), address)
        return [key]
    with _Asking(address):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    found = sorted(each for each in keys if ending(PurePosixPath(each)) in LISTED)
    if not found:
        raise NotFoundError(f"There is no data below {address}", why=f"Looked for {', '.join(LISTED)}.")
    return found


def _download(client: Any, bucket: str, key: str, path: Path) -> None:  # noqa: ANN401 (as above)
    with _Asking(f"s3://{bucket}/{key}"):
        client.download_file(bucket, key, str(path))


class _Asking:
    """Turn what boto3 raises into what is told: gone for good, or away for now."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> None:
        """Nothing is prepared."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 (comes with prefect-aws)

        if isinstance(error, ClientError) and error.response["Error"]["Code"] in {"404", "NoSuchKey", "NoSuchBucket"}:
            raise NotFoundError(
                f"There is no data at {self.address}", why="model.yaml names it under data.train.s3."
            ) from error
        if isinstance(error, ClientError | BotoCoreError):
            raise UnavailableError(
                f"{self.address} cannot be read",
                why=str(error),
                hint="May these credentials read it? See data.train in model.yaml.",
            ) from error
