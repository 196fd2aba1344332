"""`python -m towpath_bento.load FILE`: do what a plan (JSON, standard input) says, write what was found to FILE.

A process of its own: Locust patches it with gevent. Each round that is over is told on standard error. A failure that
is expected is written there as well, in three beats, and ends the process with its exit code.
"""

from towpath_bento.load.driving import drive  # isort: skip (gevent patches before anything else is imported)

import sys
from pathlib import Path

from towpath_bento.load.plan import Plan
from towpath_gitops.errors import TowpathError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.parsing import parse_json


def main(target: Path) -> None:
    """Drive, and write."""
    try:
        driven = drive(parse_json(sys.stdin.buffer.read(), Plan, source="the plan"))
    except TowpathError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    write_atomically(target, driven.model_dump_json(by_alias=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
