"""The owner's own behaviour checks: classes of a file in the repository's `tests/`."""

import importlib.util
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from towpath_flows.evaluation.checks.base import Check
from towpath_flows.spec import SPEC
from towpath_gitops.errors import InvalidFileError

DEFAULT: Final = "tests/behaviour.py"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_HINT: Final = "A check is a class with a docstring, a `name` of small letters, and a method check(self, subject)."


def own_checks(root: Path, script: str | None, taken: Mapping[str, Check]) -> dict[str, Check]:
    """Return the checks in the file `script` below `root` (default: tests/behaviour.py, where there is one), by name.

    A check is a class that the file defines, with a `name` and a method `check`; it is made without arguments.

    Raises:
        InvalidFileError: the file is not there or cannot be imported, or a check has no usable name or docstring.
    """
    path = root / (script or DEFAULT)
    if script is None and not path.is_file():
        return {}
    if not path.resolve().is_relative_to(root.resolve()):
        raise InvalidFileError(f"{SPEC}: behaviour.own: {script} lies outside the repository")
    module = _imported(path, script or DEFAULT)
    found: dict[str, Check] = {}
    for kind in vars(module).values():
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and hasattr(kind, "check"):
            check = _made(kind, path, {**taken, **found})
            found[check.name] = check
    return found


def _imported(path: Path, script: str) -> Any:  # noqa: ANN401 (a module holds anything)
    try:
        spec = importlib.util.spec_from_file_location("towpath_own_behaviour", path)
        if spec is None or spec.loader is None:
            raise ImportError(script)  # noqa: TRY301 (told like any other failure to import)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InvalidFileError(
            f"{script}: your own checks cannot be imported", why=f"{type(error).__name__}: {error}", hint=_HINT
        ) from error
    return module


def _made(kind: type[Any], path: Path, taken: Mapping[str, Check]) -> Check:
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidFileError(f"{path.name}: {kind.__name__} has no usable name", why=f"It is {name!r}.", hint=_HINT)
    if name in taken:
        raise InvalidFileError(f"{path.name}: there is already a check called {name}", hint="Give it another name.")
    if not (kind.__doc__ or "").strip() or not (kind.check.__doc__ or "").strip():
        raise InvalidFileError(
            f"{path.name}: {kind.__name__} lacks a docstring",
            why="The class's is the title, the one of `check` what reviewers are told when it fails.",
        )
    try:
        check: Check = kind()
    except Exception as error:
        raise InvalidFileError(
            f"{path.name}: {kind.__name__}() failed", why=f"{type(error).__name__}: {error}"
        ) from error
    return check
