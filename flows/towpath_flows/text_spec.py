"""The part of `model.yaml` about separated text: with which marks, and in which letters, a CSV file is written."""

import codecs
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from towpath_flows.training_spec import ColumnName
from towpath_gitops.records.base import Record

Separator = Literal[",", ";", "\t", "|"]
Quote = Literal['"', "'"]
Grouping = Literal[",", ".", "'", " ", "\u00a0", "\u202f"]
DateFormat = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{0,40}%[aAbBdHIjmMpSfyYzZ-][^\x00-\x1f]{0,60}$")]
Unit = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f]([^\x00-\x1f]{0,10}[^\s\x00-\x1f])?$")]
Mark = Annotated[str, StringConstraints(min_length=1, max_length=40)]
# What pandas' readers take for missing (`na_values` in its documentation of `read_csv`), besides nothing.
USUAL_MARKS: Final = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL"}
    | {"NaN", "None", "n/a", "nan", "null"}
)
_UTF_8: Final = "utf-8"


def _separator(value: object) -> object:
    return "\t" if value == "tab" else value


def _encoding(value: str) -> str:
    """Return the name of an encoding as Python knows it: `latin1` and `l1` are `iso8859-1`."""
    try:
        found = codecs.lookup(value)
        "".encode(found.name)  # rot13 and zip are codecs, too, and no encodings of text
    except LookupError as error:
        message = f"no encoding is called {value}; write utf-8, cp1252, latin-1, utf-16 or another that Python knows"
        raise ValueError(message) from error
    return found.name


class TextSpec(Record):
    """How a file of separated text is written. What is left out is as most files have it."""

    separator: Annotated[
        Separator,
        BeforeValidator(_separator),
        WithJsonSchema({"enum": [",", ";", "|", "tab", "\t"], "default": ","}),
    ] = Field(default=",", description="between two fields; `tab` is one")
    encoding: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$"), AfterValidator(_encoding)] = Field(
        default=_UTF_8, description="of its letters, as Python calls it; a byte order mark is no part of the text"
    )
    decimal: Literal[".", ","] = Field(default=".", description="before the decimals of a number")
    thousands: Grouping | None = Field(default=None, description="between groups of three digits, as in 1.234.567")
    quote: Quote = Field(default='"', description="around fields that hold a separator or a line break")
    missing: tuple[Mark, ...] = Field(default=(), description="what means missing besides nothing and the usual marks")
    usual_marks: bool = Field(
        default=True, description="whether NA, N/A, NaN, null, None and their like mean missing, as pandas takes them"
    )

    skip: Annotated[int, Field(ge=0, le=1000)] = Field(default=0, description="lines before the names of the columns")
    padded: bool = Field(default=False, description="whether spaces follow the separators: they are no part of a field")
    dates: dict[ColumnName, DateFormat] = Field(
        default={}, description="column → form of dates that are not in ISO 8601, as strptime: %d.%m.%Y"
    )

    units: dict[ColumnName, Unit] = Field(
        default={},
        description="column → sign or unit beside its numbers, as $ or %; h:m:s, h:m and m:s are read as seconds",
    )

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal == self.thousands:
            message = f"decimal and thousands are both {self.decimal!r}: nobody could tell 1{self.decimal}234"
            raise ValueError(message)
        return self

    @property
    def codec(self) -> str:
        """The encoding to read with, which skips a byte order mark."""
        return "utf-8-sig" if self.encoding == _UTF_8 else self.encoding

    @property
    def reading(self) -> dict[str, Any]:
        """What pandas' `read_csv` is to be told; groups of digits are no matter of its: it would join 31.12.2026."""
        return {
            "sep": self.separator,
            "encoding": self.codec,
            "decimal": self.decimal,
            "quotechar": self.quote,
            "na_values": ["", *self.missing],
            "skiprows": self.skip,
            "skipinitialspace": self.padded,
            "keep_default_na": self.usual_marks,
        }
