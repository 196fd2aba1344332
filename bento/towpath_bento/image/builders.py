"""How each builder makes an image of a folder: one function, one row."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from towpath_bento.image.tools import run

CONTAINERFILE: Final = Path(__file__).with_name("Containerfile")
_DOING: Final = "Building the image"
_EPOCH: Final = "0"  # time of every file and of the image: the same input gives the same digest


@dataclass(frozen=True, kw_only=True)
class Order:
    """What shall be built."""

    context: Path  # src/, wheels/, requirements.txt
    arguments: Mapping[str, str]  # values of the Containerfile's ARGs
    labels: Mapping[str, str]
    layout: Path  # where the image goes, as an OCI image layout

    def options(self) -> list[str]:
        """Return the options that all builders share."""
        given = [f"--build-arg={name}={value}" for name, value in self.arguments.items()]
        return [*given, *(f"--label={name}={value}" for name, value in self.labels.items()), f"--file={CONTAINERFILE}"]


def _stored(order: Order, program: str, *flags: str) -> None:
    """Build into the program's own store, copy the image out and remove it there."""
    name = f"localhost/towpath-build:{secrets.token_hex(6)}"
    build = [program, "build", "--quiet", *flags, f"--timestamp={_EPOCH}", "--format=oci", f"--tag={name}"]
    run([*build, *order.options(), str(order.context)], _DOING)
    try:
        run([program, "push", "--quiet", name, f"oci:{order.layout}"], "Writing the image")
    finally:
        run([program, "rmi", name], "Removing the builder's own copy")


def _buildah(order: Order) -> None:
    _stored(order, "buildah", "--layers=false")


def _podman(order: Order) -> None:
    _stored(order, "podman", "--layers=false")


def _docker(order: Order) -> None:
    output = f"--output=type=oci,tar=false,rewrite-timestamp=true,dest={order.layout}"
    build = ["docker", "buildx", "build", "--quiet", "--provenance=false", output]
    run([*build, *order.options(), str(order.context)], _DOING, environment={"SOURCE_DATE_EPOCH": _EPOCH})


BUILD: Final[dict[str, Callable[[Order], None]]] = {"buildah": _buildah, "podman": _podman, "docker": _docker}
