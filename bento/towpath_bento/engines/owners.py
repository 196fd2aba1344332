"""An owner's own modules out of a release: read once, compared with their digest, imported under a name of their own.

The trust boundary: such code was reviewed in git, lies in the release byte for byte as in its commit (delivery compares
them), and nothing of it runs before its bytes have the digest that the signature states. The bytes that were compared
are those that run: no file is read a second time. The name under which modules are imported is made of that digest, so
that two releases with other versions of the same module live in one process, and neither sees the other's.
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from importlib.util import decode_source, spec_from_loader
from pathlib import Path, PurePosixPath
from types import CodeType, ModuleType
from typing import Final

from towpath_gitops.errors import DigestMismatchError, InvalidFileError
from towpath_gitops.records.base import digest_bytes, digest_of

PREFIX: Final = "towpath_code_"
SERVED: Final = frozenset({"towpath_bento", "towpath_gitops"})  # of Towpath, what a service carries
_LARGEST: Final = 2_000_000  # bytes of all modules together
_MARK: Final = "__init__"


@dataclass(frozen=True)
class Code:
    """The modules of an owner: path below the folder, with forward slashes → content."""

    files: Mapping[str, bytes]

    @cached_property
    def digest(self) -> str:
        """The digest that `manifest_digest` gives of the same files in a folder."""
        return digest_of({path: digest_bytes(content) for path, content in self.files.items()})

    @cached_property
    def package(self) -> str:
        """The name below which the modules are imported: nobody else's bytes have it."""
        return PREFIX + self.digest.removeprefix("sha256:")

    @cached_property
    def modules(self) -> Mapping[str, bytes]:
        """Each module, by its name in the owner's repository; a package without a file of its own is empty."""
        found = {module_name(path): content for path, content in self.files.items()}
        for name in list(found):
            for place in range(name.count(".")):
                found.setdefault(name.rsplit(".", place + 1)[0], b"")
        return found

    @cached_property
    def tops(self) -> frozenset[str]:
        """The names of the owner's packages."""
        return frozenset(name.partition(".")[0] for name in self.modules)

    @cached_property
    def types(self) -> frozenset[str]:
        """What a pipeline may name: each class and function that a module itself defines, named below `package`."""
        return frozenset(
            f"{self.package}.{name}.{node.name}"
            for name, content in self.modules.items()
            for node in parsed(content, name).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        )

    @cached_property
    def libraries(self) -> tuple[str, ...]:
        """The distributions of other people that the modules import and that are installed here, sorted."""
        wanted = {name for module, content in self.modules.items() for name in _tops(parsed(content, module))}
        foreign = wanted - self.tops - sys.stdlib_module_names - SERVED
        known = packages_distributions()
        return tuple(sorted({known[name][0] for name in foreign if known.get(name)}))

    def install(self) -> None:
        """Let `import` find the modules below `package`; nothing of them runs yet."""
        for finder in sys.meta_path:
            if isinstance(finder, _Finder) and finder.code.package == self.package:
                return
        sys.meta_path.append(_Finder(self))


def read_code(folder: Path, expected: str) -> Code:
    """Read the modules in `folder`, which the signature says have the digest `expected`.

    Raises:
        DigestMismatchError: they have another; nothing of them was run.
        InvalidFileError: there is something else than modules, or too much.
    """
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink() or path.suffix != ".py" or path.stat().st_size > _LARGEST:
            raise InvalidFileError(f"{path} is no module", why="Code of an owner's is Python files, nothing else.")
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    code = Code(files)
    if code.digest != expected:
        raise DigestMismatchError(
            f"The code in {folder} is not the one that was approved",
            why=f"Expected {expected}, found {code.digest}.",
            hint="Nothing of it was run. Find out who changed the model store before anything else.",
        )
    return code


def module_name(path: str) -> str:
    """Return the name of the module in the file `path` (`shop/features.py` → `shop.features`).

    Raises:
        InvalidFileError: a part of the path cannot be part of a module's name.
    """
    parts = PurePosixPath(path).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == _MARK else parts
    if not parts or not all(part.isidentifier() for part in parts):
        raise InvalidFileError(f"{path} is no module's path", why="Each part must be a name in Python.")
    return ".".join(parts)


def parsed(content: bytes, name: str) -> ast.Module:
    """Return the syntax tree of a module.

    Raises:
        InvalidFileError: it is no Python.
    """
    try:
        return ast.parse(content, name)
    except (SyntaxError, ValueError) as error:
        raise InvalidFileError(f"The module {name} is no Python of this version", why=str(error)) from error


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield every import of a module, but for those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for other in node.orelse:
                yield from imports(ast.Module([other], []))
        else:
            yield from imports(node)


def _tops(tree: ast.Module) -> Iterator[str]:
    for node in imports(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif not node.level and node.module:
            yield node.module.partition(".")[0]


class _Redirected(ast.NodeTransformer):
    """Lets absolute imports of the owner's own packages lead to the same release's modules."""

    def __init__(self, code: Code) -> None:
        self._package, self._tops = code.package, code.tops

    def _is_own(self, name: str | None) -> bool:
        return name is not None and name.partition(".")[0] in self._tops

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if not node.level and self._is_own(node.module):
            return ast.copy_location(ast.ImportFrom(f"{self._package}.{node.module}", node.names, 0), node)
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for alias in node.names:
            if not self._is_own(alias.name):
                found.append(ast.Import([alias]))
                continue
            found.append(ast.Import([ast.alias(f"{self._package}.{alias.name}", alias.asname)]))
            if alias.asname is None:  # `import shop.words` binds `shop`
                top = alias.name.partition(".")[0]
                found.append(ast.ImportFrom(self._package, [ast.alias(top)], 0))
        return [ast.copy_location(each, node) for each in found]


class _Finder(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of one `Code` from memory."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self.code.package and self._name(fullname) not in self.code.modules:
            return None
        return spec_from_loader(fullname, self, origin=f"{fullname} of a release")

    def is_package(self, fullname: str) -> bool:
        name = self._name(fullname)
        return not name or any(other.startswith(f"{name}.") for other in self.code.modules) or self._has_mark(name)

    def get_source(self, fullname: str) -> str:
        return decode_source(self.code.modules.get(self._name(fullname), b""))

    def get_code(self, fullname: str) -> CodeType:
        tree = parsed(self.get_source(fullname).encode(), fullname)
        redirected = ast.fix_missing_locations(_Redirected(self.code).visit(tree))
        return compile(redirected, f"<{fullname}>", "exec", dont_inherit=True)

    def _name(self, fullname: str) -> str:
        """Return the name in the owner's repository; nothing for the package above them all, or for another's."""
        return fullname.removeprefix(f"{self.code.package}.") if fullname.startswith(f"{self.code.package}.") else ""

    def _has_mark(self, name: str) -> bool:
        return f"{name.replace('.', '/')}/{_MARK}.py" in self.code.files
