"""The parts of `model.yaml` about data: where rows come from, and what makes them unfit for training."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    NonNegativeInt,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

from towpath_flows.text_spec import TextSpec
from towpath_flows.training_spec import ColumnName
from towpath_flows.units import EnvironmentName, Moment, Share
from towpath_gitops.records.base import Duration, Name, Record

RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]
FeatureName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(@v\d+)?:[A-Za-z_]\w*$")]
TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
PositiveShare = Annotated[Share, Field(gt=0)]
S3_ADDRESS: Final = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]{1,900}$"
_UNITS: Final = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def _size(value: object) -> object:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB|TB)", value) if isinstance(value, str) else None
    if match:
        return int(float(match[1]) * _UNITS[match[2]])
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    message = "write a size as a number and a unit: 500MB, 4GB or 1TB"
    raise ValueError(message)


# Bytes.
Size = Annotated[
    int,
    BeforeValidator(_size),
    Field(gt=0),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*(MB|GB|TB)$", "examples": ["500MB", "4GB"]}),
]


class FileSource(Record):
    """One Parquet, CSV or JSON-lines file, or a folder of such files."""

    file: RelativePath = Field(description="path from the repository's root")
    csv: TextSpec = TextSpec()


class _InBuckets(Record):
    """A source that may lie in S3, and who lets it be read."""

    block: Name | None = Field(default=None, description="a Prefect block of type S3Bucket, which brings credentials")
    credentials: Name | None = Field(
        default=None, description="a Prefect block of type AwsCredentials; default: AWS's own chain, as the environment"
    )

    @model_validator(mode="after")
    def _has_one_block(self) -> Self:
        if self.block and self.credentials:
            message = "give either block or credentials: an S3Bucket block brings its own"
            raise ValueError(message)
        return self


class S3Source(_InBuckets):
    """One object of a bucket, or all below a prefix that ends in a slash; in the formats of files."""

    s3: Annotated[str, StringConstraints(pattern=S3_ADDRESS)]
    csv: TextSpec = TextSpec()


class SqlSource(Record):
    """A query, or the name of a table, in a database that SQLAlchemy reaches."""

    sql: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    url: str | None = Field(default=None, description="address without a password: sqlite:///data/shop.db")
    env: EnvironmentName | None = Field(default=None, description="environment variable that holds the address")
    secret: Name | None = Field(default=None, description="Prefect block of type Secret that holds the address")

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if sum(each is not None for each in (self.url, self.env, self.secret)) != 1:
            message = "give one of url, env and secret: where is the database?"
            raise ValueError(message)
        if self.url is not None and _has_password(self.url):
            message = "url holds a password, which would stay in git: move the address to env or secret"
            raise ValueError(message)
        return self


class DuckdbSource(_InBuckets):
    """A query over files, each under a name of its own; it can read no others."""

    duckdb: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    files: Annotated[dict[TableName, RelativePath], Field(min_length=1)] = Field(
        description="name in the query → Parquet, CSV or JSON-lines file, or folder of such; also s3://bucket/key"
    )
    csv: dict[TableName, TextSpec] = Field(
        default={}, description="name in the query → how its file is written; what is not named, DuckDB finds out"
    )

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        unknown = sorted(set(self.csv) - set(self.files))
        if unknown:
            message = f"csv names {', '.join(unknown)}, which `files` does not; it has {', '.join(self.files)}"
            raise ValueError(message)
        wrong = [place for place in self.files.values() if "://" in place and not re.match(S3_ADDRESS, place)]
        if wrong:
            message = f"{wrong[0]} is no file: write a path, or s3://bucket/key"
            raise ValueError(message)
        dated = sorted(name for name, text in self.csv.items() if text.dates or text.units or text.padded)
        if dated:
            message = f"csv: {dated[0]}: the query reads dates and units itself: strptime(day, '%d.%m.%Y'), trim(name)"
            raise ValueError(message)
        return self


class FeastSource(Record):
    """Rows of a file, to each of which a Feast repository adds the features as they were known at its time."""

    feast: RelativePath = Field(description="folder of feature_store.yaml, from the repository's root")
    rows: RelativePath = Field(description="file, or folder of files, with entity keys, time, target and other columns")
    features: Annotated[tuple[FeatureName, ...], Field(min_length=1)] | None = Field(
        default=None, description="what is added, each as view:feature"
    )
    service: Name | None = Field(default=None, description="a feature service of the repository, instead of features")
    python: RelativePath | None = Field(
        default=None,
        description="interpreter of an environment with Feast, from the repository's root; TOWPATH_FEAST_PYTHON names "
        "another one; default: this one",
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if (self.features is None) == (self.service is None):
            message = "give either features or service: what is added to the rows?"
            raise ValueError(message)
        return self


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True  # nobody can tell
    asked = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    return parts.password is not None or bool(asked & {"password", "passwd", "pwd", "sslpassword", "token"})


def _kind_of_source(value: Any) -> str:  # noqa: ANN401 (pydantic hands over whatever the file holds)
    has = value.__contains__ if isinstance(value, Mapping) else lambda field: hasattr(value, field)
    return next((kind for kind in ("s3", "sql", "duckdb", "feast") if has(kind)), "file")


TrainSource = Annotated[
    Annotated[FileSource, Tag("file")]
    | Annotated[S3Source, Tag("s3")]
    | Annotated[SqlSource, Tag("sql")]
    | Annotated[DuckdbSource, Tag("duckdb")]
    | Annotated[FeastSource, Tag("feast")],
    Discriminator(_kind_of_source),
]


class Window(Record):
    """From a moment (included) until a moment (not included); a moment without a time zone is in UTC."""

    from_: Moment | None = Field(default=None, alias="from")
    until: Moment | None = None

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.from_ and self.until and self.from_ >= self.until:
            message = f"window ends ({self.until:%Y-%m-%d %H:%M}) before it begins ({self.from_:%Y-%m-%d %H:%M})"
            raise ValueError(message)
        return self

    @property
    def bounds(self) -> tuple[datetime | None, datetime | None]:
        """The two ends; None is open."""
        return self.from_, self.until


class Data(Record):
    """What the model learns from."""

    train: TrainSource
    window: Window | None = Field(default=None, description="rows to train on; null for all")
    memory: Size | None = Field(
        default=None, description="what the rows may take in memory, as 4GB; default: half of the machine's"
    )
    sensitive: tuple[ColumnName, ...] = Field(
        default=(), description="columns of which no report shows a value, besides those that the schema marks"
    )


class CompletenessSpec(Record):
    """How often features have a value."""

    min: Share = Field(default=0.01, description="share of the rows in which every feature has a value at least")
    fall: PositiveShare = Field(
        default=0.2, description="by how much that may fall below the last release's, in shares"
    )
    columns: dict[ColumnName, Share] = Field(default={}, description="shares for single features, instead of `min`")


class UniquenessSpec(Record):
    """Which columns together name a row."""

    columns: tuple[ColumnName, ...] | None = Field(default=None, description="default: entity and time; [] for none")
    max: Share = Field(default=0.01, description="share of rows whose name occurred before")


class VolumeSpec(Record):
    """How many rows with a target there are."""

    min: NonNegativeInt = 100
    fall: PositiveShare = Field(default=0.5, description="share by which rows may be fewer than the last release's")


class Bounds(Record):
    """Between two numbers, both included; a missing one is open."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"min ({self.min:g}) is above max ({self.max:g})"
            raise ValueError(message)
        return self


class RangeSpec(Record):
    """Where numbers lie: within bounds, or within the last release's range widened on each side."""

    widen: Annotated[float, Field(ge=0)] = Field(default=1.0, description="by how many widths of that range")
    stray: Share = Field(default=0.01, description="share of a feature's values that may lie outside")
    columns: dict[ColumnName, Bounds] = Field(default={}, description="bounds of single features")


class DriftRuleSpec(Record):
    """How far today's rows may be from the last release's: a shift of most features is a broken feed, not the world."""

    psi: Annotated[float, Field(gt=0)] = Field(default=0.25, description="population stability index of a major shift")
    share: Share = Field(default=0.5, description="share of features that may have shifted so")


AloneLimit = Annotated[float, Field(gt=0.5, le=1)]  # an ROC AUC


class LeakageSpec(Record):
    """How well one column alone may predict the target, and which are known in time, however well they do."""

    max: AloneLimit | None = Field(
        default=0.85, description="ROC AUC that one column alone may not reach; null: only copies count"
    )
    known: tuple[ColumnName, ...] = Field(
        default=(), description="columns that may reach it, for they are known in time; a copy of the target is refused"
    )


def _limit(value: object) -> object:
    return value if isinstance(value, LeakageSpec | Mapping) else {"max": value}


class QualitySpec(Record):
    """What makes data unfit for training."""

    completeness: CompletenessSpec = CompletenessSpec()
    uniqueness: UniquenessSpec = UniquenessSpec()
    volume: VolumeSpec = VolumeSpec()
    freshness: Duration | None = Field(
        default=None, description="age that the newest row may have when training starts, or at the window's end"
    )
    range: RangeSpec = RangeSpec()
    growth: Share = Field(default=0.1, description="share of a text's rows with a value that is new, beyond chance")
    duplicates: Share = Field(default=0.05, description="share of rows that may equal an earlier row")
    overlap: Share = Field(default=0.05, description="share of test rows that may be copies of training rows")
    leakage: Annotated[LeakageSpec, BeforeValidator(_limit, json_schema_input_type=LeakageSpec | AloneLimit | None)] = (
        Field(
            default=LeakageSpec(),
            description="what one column alone may know of the answer; a number or null is `max`",
        )
    )
    drift: DriftRuleSpec = DriftRuleSpec()
