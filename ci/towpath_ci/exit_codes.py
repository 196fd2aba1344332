"""The table of exit codes, written from the errors themselves."""

from collections.abc import Iterator

from towpath_ci.lazy import INTERRUPTED
from towpath_gitops.errors import TowpathError

_HEAD = """# Exit codes

Scripts can tell a refusal from a broken file from a service that is merely late. This page is written from the code
(`python -m towpath_ci.exit_codes`) and a test keeps it current.

| code | name | when |
| ---: | --- | --- |
| 0 | | done, or nothing to do |
| 1 | | a bug (with a traceback), or `doctor` found something broken |
| 2 | | the command line was not understood |
"""


def errors() -> Iterator[type[TowpathError]]:
    """Yield every class of error, by exit code."""
    yield from sorted(TowpathError.__subclasses__(), key=lambda error: error.exit_code)


def render() -> str:
    """Return the page as Markdown."""
    rows = [f"| {error.exit_code} | `{error.__name__}` | {_when(error)} |\n" for error in errors()]
    rows.append(f"| {INTERRUPTED} | | interrupted by Ctrl-C; run the same command again |\n")
    return _HEAD + "".join(rows)


def _when(error: type[TowpathError]) -> str:
    return " ".join((error.__doc__ or "").split())


if __name__ == "__main__":
    import sys

    sys.stdout.write(render())
