"""Which of the owner's modules a release carries: those that its pipeline is made of, and all that these import."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from towpath_bento.engines.owners import Code, imports, parsed
from towpath_gitops.errors import InvalidFileError

_OURS = "towpath_"


def own_modules(types: Iterable[str], src: Path) -> dict[str, str]:
    """Return type → module for those of the `types` (`shop.features.Peak`) whose module lies below `src`."""
    modules = {name: name.rpartition(".")[0] for name in types}
    return {name: module for name, module in modules.items() if _file_of(module, src) is not None}


def carry(modules: Iterable[str], src: Path) -> Code:
    """Return `modules`, the packages around them and whatever of `src` these import.

    Raises:
        InvalidFileError: one imports a part of Towpath that no service carries, or is no Python.
    """
    files: dict[str, bytes] = {}
    waiting, seen = list(modules), set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        waiting += [module.rsplit(".", place + 1)[0] for place in range(module.count("."))]
        path = _file_of(module, src)
        if path is None:
            continue
        files[path.relative_to(src).as_posix()] = path.read_bytes()
        waiting += _imported(files[path.relative_to(src).as_posix()], module, is_package=path.name == "__init__.py")
    return Code(files)


def _imported(content: bytes, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield what a module imports; a name that is imported from a package may be a module of it."""
    for node in imports(parsed(content, module)):
        for name in _names(node, module, is_package=is_package):
            top = name.partition(".")[0]
            if top.startswith(_OURS) and top not in {"towpath_bento", "towpath_gitops"}:
                raise InvalidFileError(
                    f"{module} imports {name}, which no service carries",
                    why="A module whose classes are part of the model is imported wherever the model is served.",
                    hint="Move those classes to a module of their own; Cyclic, Log and the others are in "
                    "towpath_bento.transformers, too.",
                )
            yield name


def _names(node: ast.Import | ast.ImportFrom, module: str, *, is_package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        above = module.split(".")
        kept = len(above) - node.level + (1 if is_package else 0)
        base = ".".join([*above[: max(kept, 0)], *([node.module] if node.module else [])])
    yield base
    yield from (f"{base}.{alias.name}" for alias in node.names)


def _file_of(module: str, src: Path) -> Path | None:
    """Return the file of a module below `src`; None where it has none there."""
    if not module or not all(part.isidentifier() for part in module.split(".")):
        return None
    place = src.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
