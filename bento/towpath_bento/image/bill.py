"""The bill of materials (CycloneDX 1.6) of a packaged release: each library with its version, licence, purl and digest.

It lists Python packages, the model and Towpath's own code. What the base image brings is the base's own matter: the
bill names it, and whoever publishes it has a bill of it.
"""

import uuid
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from towpath_bento.image.installed import COPIED
from towpath_bento.pins import needs
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.release import Release

BILL: Final = "sbom.cdx.json"
BASE_PROPERTY: Final = "towpath:base"

_LONGEST_LICENCE: Final = 100  # characters; more is a licence's text, not its name
_CLASSIFIER: Final = "License :: "
# Classifiers of Python packages that stand for exactly one licence.
_UNAMBIGUOUS: Final = {
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
}


def bill_of_materials(
    release: Release, pins: Iterable[str], hashes: Mapping[str, str] | None = None, *, base: str | None = None
) -> bytes:
    """Return the bill of a release that is served with `pins`, as JSON; the same release and pins give the same bytes.

    Args:
        release: what is served.
        pins: `name==version` of each library, all of them installed here: licences are read from their metadata.
        hashes: pin → hex sha256 of the very wheel that goes into an image; none while a Bento has no image.
        base: the image below, where there is one.
    """
    known = hashes or {}
    libraries = {pin: _library(pin, known.get(pin)) for pin in pins}
    bom = Bom(
        components=[*libraries.values(), _model(release), _towpath()],
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, digest_of([release.id, sorted(libraries), dict(known), base])),
    )
    bom.metadata.component = Component(
        name=release.model,
        version=f"{release.semver}-{release.short_id}",
        type=ComponentType.APPLICATION,
        bom_ref=f"service:{release.id}",
    )
    bom.metadata.timestamp = None  # type: ignore[assignment]  # optional in the format; the same input, the same bytes
    if base:
        bom.metadata.properties.add(Property(name=BASE_PROPERTY, value=base))
    _connect(bom, libraries)
    return JsonV1Dot6(bom).output_as_string(indent=2).encode()


def licences(distribution: metadata.Distribution) -> list[License]:
    """Return the licences that a distribution declares; none where it declares none.

    Its SPDX expression counts first, then a short field that is one, then its classifiers: those that name one licence
    only as that, the others ("BSD License" may be any of four) by their own words.
    """
    fields = distribution.metadata
    declared = (*(fields.get_all("License-Expression") or ()), *(fields.get_all("License") or ()), "")
    words = declared[0].strip()
    short = [words] if words and len(words) <= _LONGEST_LICENCE and "\n" not in words else []
    classified = [line.split(" :: ")[2:] for line in fields.get_all("Classifier") or () if line.startswith(_CLASSIFIER)]
    named = [_UNAMBIGUOUS.get(name, name) for (name,) in filter(None, classified)]
    found = [_licence(text) for text in short]
    return found if not named or any(map(_is_spdx, found)) else [_licence(name) for name in named]


def _licence(words: str) -> License:
    return LicenseFactory().make_from_string(words)


def _is_spdx(licence: License) -> bool:
    return isinstance(licence, LicenseExpression) or licence.id is not None


def _library(pin: str, sha256: str | None) -> Component:
    name, _, version = pin.partition("==")
    purl = PackageURL("pypi", None, name, version)
    return Component(
        name=name,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        licenses=licences(metadata.distribution(name)),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
    )


def _model(release: Release) -> Component:
    digest = HashType(alg=HashAlgorithm.SHA_256, content=release.artifact.removeprefix("sha256:"))
    return Component(
        name=release.model,
        version=release.semver,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{release.id}",
        hashes=[digest],
    )


def _towpath() -> Component:
    """Return Towpath's own code, which lies beside the service and is no installed distribution."""
    version = metadata.version("towpath")
    purl = PackageURL("pypi", None, "towpath", version)
    return Component(
        name="towpath",
        version=version,
        purl=purl,
        bom_ref=str(purl),
        licenses=licences(metadata.distribution("towpath")),
        properties=[Property(name=COPIED, value="true")],
    )


def _connect(bom: Bom, libraries: Mapping[str, Component]) -> None:
    """Say what needs what; what nothing else needs, the service does."""
    by_name = {component.name: component for component in libraries.values()}
    needed: set[str] = set()
    for name, component in by_name.items():
        names = {canonicalize_name(requirement.name) for requirement in needs(metadata.distribution(name))}
        below = [by_name[other] for other in sorted(names & by_name.keys() - {name})]
        bom.register_dependency(component, below)
        needed |= {other.name for other in below}
    roots = [component for component in bom.components if component.name not in needed]
    assert bom.metadata.component is not None  # noqa: S101 (narrows the type: it was set above)
    bom.register_dependency(bom.metadata.component, roots)
