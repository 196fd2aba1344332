"""`recipe.json`: what besides code and rows made a release, kept beside it so that it can be made again."""

import platform
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pydantic import PositiveInt

from towpath_flows.project import Project
from towpath_flows.training.model import Model
from towpath_flows.training.trainers.base import cores
from towpath_flows.training_spec import Framework, Value
from towpath_gitops.delivery.registry import Registry
from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.base import ApiVersion, Record
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release

RECIPE: Final = "recipe.json"
# What computes or writes the bytes of an artifact.
DECIDING: Final = (
    "lightgbm",
    "numpy",
    "onnx",
    "onnxconverter-common",
    "onnxmltools",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "skops",
    "towpath",
    "xgboost",
)


class Recipe(Record):
    """How the last fit was made, and in which environment. `libraries` are all that were installed, with versions.

    `workers` are how many of a cluster fitted it together, None where one machine did.
    """

    api_version: ApiVersion = "towpath/v1"
    framework: Framework
    params: dict[str, Value]
    rounds: PositiveInt
    seed: int
    threads: PositiveInt
    workers: PositiveInt | None = None
    python: str
    platform: str
    libraries: dict[str, str]

    def requirements(self) -> str:
        """Return the environment as pip reads it, one `name==version` a line."""
        return "".join(f"{name}=={version}\n" for name, version in sorted(self.libraries.items()) if name != "towpath")

    def differences(self, workers: int | None) -> list[str]:
        """Return how a fit by this process differs from the recipe's, in what decides the bytes.

        `workers` are how many of a cluster fitted now, None where this machine did.
        """
        here = {"python": platform.python_version(), "platform": _platform(), **_installed()}
        then = {"python": self.python, "platform": self.platform, **self.libraries}
        asked = ("python", "platform", *DECIDING)
        found = [
            f"{name} {here.get(name, 'is not installed')}, then {then.get(name, 'not installed')}"
            for name in asked
            if here.get(name) != then.get(name)
        ]
        if workers != self.workers:
            found.append(f"fitted by {_fitters(workers)}, then by {_fitters(self.workers)}: the trees are others")
        return found


def recipe_of(project: Project, model: Model) -> Recipe:
    """Return the recipe of a model that this process has fitted."""
    return Recipe(
        framework=model.framework,
        params=dict(model.params),
        rounds=model.rounds,
        seed=project.spec.train.seed,
        threads=cores(),
        workers=model.workers,
        python=platform.python_version(),
        platform=_platform(),
        libraries=_installed(),
    )


def read_recipe(registry: Registry, release: Release) -> Recipe:
    """Return the recipe that was kept with a release.

    Raises:
        NotFoundError: none was: an older Towpath registered it, or something other than a training flow.
        InvalidFileError: it does not say what it should.
    """
    run = registry.client.get_model_version(release.model, str(release.version)).run_id
    if RECIPE not in {listed.path for listed in registry.client.list_artifacts(run)}:
        raise NotFoundError(
            f"No recipe was kept with {release}",
            why=f"Its MLflow run has no {RECIPE}; releases have one since Towpath can reproduce them.",
            hint="Train again: the new release has one.",
        )
    with TemporaryDirectory(prefix="towpath-") as folder:
        text = Path(registry.client.download_artifacts(run, RECIPE, folder)).read_text(encoding="utf-8")
    return parse_json(text, Recipe, source=RECIPE)


def _fitters(workers: int | None) -> str:
    if workers is None:
        return "one machine without a cluster"
    return f"{workers} worker{'s' if workers > 1 else ''} of a cluster"


def _platform() -> str:
    return f"{platform.system()} {platform.machine()}"


def _installed() -> dict[str, str]:
    found = (each.metadata for each in metadata.distributions())  # each time it is asked for it is read and parsed
    return {known["Name"].lower().replace("_", "-"): known["Version"] for known in found if known["Name"]}
