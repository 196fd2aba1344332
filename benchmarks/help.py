"""How long `towpath --help` takes, beside an interpreter that does nothing: the least that any verb can take."""

import subprocess
import sys
from pathlib import Path

from rounds import Contestant, compare, head, timed

ROUNDS = 15


def process(name: str, *command: str) -> Contestant:
    """Return a command line as a contestant."""
    return Contestant(name, timed(lambda: subprocess.run(command, check=True, capture_output=True)))


def main() -> None:
    """Compare the two."""
    towpath = str(Path(sys.executable).with_name("towpath"))
    head()
    compare(
        process("`towpath --help`", towpath, "--help"),
        process("`python -c pass`", sys.executable, "-c", "pass"),
        ROUNDS,
    )


if __name__ == "__main__":
    main()
