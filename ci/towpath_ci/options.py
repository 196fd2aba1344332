"""Arguments and options that several verbs take, each described once."""

from datetime import datetime
from typing import Annotated

import typer

DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Since = Annotated[datetime | None, typer.Option(formats=DATES, help="Rows from this moment on (UTC).")]
Until = Annotated[datetime | None, typer.Option(formats=DATES, help="Rows before this moment (UTC).")]
Journal = Annotated[
    str | None,
    typer.Option(metavar="PLACE", help="Where the service remembers its answers: a folder, or s3://bucket/prefix."),
]
Selector = Annotated[
    str,
    typer.Argument(metavar="RELEASE", help="Version (3), semantic version (1.2.0), id or its beginning, or latest."),
]
CarriedBy = Annotated[
    str | None,
    typer.Option("--image", metavar="IMAGE", help="registry/name@sha256:…; by default the newest on record."),
]
Number = Annotated[int, typer.Argument(metavar="N", min=1, help="Number of the pull request.")]
EnvironmentName = Annotated[str, typer.Option("--environment", "-e", metavar="NAME", help="Which environment.")]
AnyEnvironment = Annotated[
    str | None,
    typer.Option("--environment", "-e", metavar="NAME", help="Only this environment; all of them by default."),
]
Reason = Annotated[
    str, typer.Option("--reason", "-m", help="Why, in a few words; kept in the file and in the history.")
]
GivenReason = Annotated[
    str, typer.Option("--reason", "-m", help="Why, in a few words; asked for, because others will want to know.")
]
