"""`python -m towpath_bento.declared service.py FILE`: write down which libraries the settings of a service ask for.

In a process of its own: the file is its owner's code, and what it imports must not stay with whoever asks.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from towpath_gitops.errors import DeliveryError
from towpath_gitops.files import write_atomically


def needed_libraries(service: Path) -> tuple[str, ...]:
    """Return the libraries that the service in the file `service` needs beyond those of every service.

    Raises:
        DeliveryError: the file cannot be run; what it printed is the reason.
    """
    with tempfile.TemporaryDirectory(prefix="towpath-declared-") as scratch:
        answer = Path(scratch, "needs.json")
        command = [sys.executable, "-m", "towpath_bento.declared", str(service.absolute()), str(answer)]
        environment = os.environ | {"BENTOML_HOME": scratch, "BENTOML_DO_NOT_TRACK": "True"}
        done = subprocess.run(command, cwd=service.parent, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DeliveryError(f"{service.name} cannot be run", why=(done.stderr or done.stdout).strip())
        return tuple(json.loads(answer.read_text()))


def main() -> None:
    """Run the file, and write down what its `service` needs; one not made by `model_server` needs nothing of ours."""
    path, answer = map(Path, sys.argv[1:])
    sys.path.insert(0, str(path.parent))
    service = runpy.run_path(str(path))["service"]
    needs = getattr(getattr(service, "front", None), "needs", ())
    write_atomically(answer, json.dumps(needs))


if __name__ == "__main__":
    main()
