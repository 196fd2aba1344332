"""Where models are served: one file each, one row each."""

from collections.abc import Mapping
from typing import Final

from towpath_gitops.delivery.targets.base import MakeTarget
from towpath_gitops.delivery.targets.local import LocalTarget

TARGETS: Final[Mapping[str, MakeTarget]] = {"local": LocalTarget.of}
