"""What a set of requirements needs of the libraries installed here, pinned to the versions that were tested."""

from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from towpath_gitops.errors import MissingDependencyError


def requirements(roots: Iterable[str]) -> tuple[str, ...]:
    """Return `name==version` for `roots` and everything they need, as installed here, sorted.

    What was tested is what is packaged, and no resolver decides anything when an image is built.

    Raises:
        MissingDependencyError: one of them is not installed here.
    """
    found: dict[str, str] = {}
    waiting = [Requirement(root) for root in roots]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            raise MissingDependencyError(
                f"{name} is not installed, so its version cannot be pinned",
                hint="Install it with: pip install 'towpath[bento]'",
            ) from error
        found[name] = distribution.version
        waiting += needs(distribution, extras)
    return tuple(f"{name}=={version}" for name, version in sorted(found.items()))


def needs(distribution: metadata.Distribution, extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """Yield what an installed distribution needs on this machine, with `extras` of it."""
    for line in distribution.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement
