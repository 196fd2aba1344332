"""What an image weighs beside an ordinary one of the same model: `python benchmarks/images.py BASE [BUILDER]`.

The ordinary one is served from its training libraries, as BentoML's own examples do: bentoml, scikit-learn, pandas and
the booster. Both are built on the same base by the same Containerfile, so that only the libraries differ. BentoML's own
Dockerfile installs a compiler and git besides, which is not counted here.
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from towpath_bento.image.build import Built, build_image
from towpath_bento.package import PackagedBento
from towpath_bento.package import package as packaged
from towpath_bento.pins import requirements
from towpath_ci.drills.stage import Stage
from towpath_gitops import layout
from towpath_gitops.records.release import Release

LOCK = Path(__file__).parents[1] / "requirements.txt"
SERVING = ("bentoml", "msgspec", "numpy", "prometheus-client", "psutil", "pydantic", "ruamel.yaml")
ORDINARY = (*SERVING, "pandas", "scikit-learn", "skops", "xgboost")


def build(name: str, release: Release, bento: PackagedBento, folder: Path) -> Built:
    """Build one image and print its line."""
    program = sys.argv[2] if len(sys.argv) > 2 else None  # noqa: PLR2004 (the second argument)
    built = build_image(release, bento, folder, base=sys.argv[1], program=program)
    megabytes = built.record.size_bytes / 1e6
    layers = " + ".join(f"{layer['size'] / 1e6:.0f}" for layer in built.described.manifest["layers"])
    print(f"| {name} | {built.record.packages} | {megabytes:.0f} | {layers} |")
    return built


def main() -> None:
    """Train a release, and weigh it twice."""
    with TemporaryDirectory() as scratch:
        stage = Stage(Path(scratch))
        artifact = stage.registry.fetch(stage.good, layout.store(stage.root))
        bento = packaged(stage.good, artifact, stage.root / "bento", Path(scratch, "bentos"), LOCK)
        ordinary = replace(bento, requirements=requirements(ORDINARY))
        print("| image | packages | MB compressed | of which layers |\n| --- | ---: | ---: | --- |")
        slim = build("towpath", stage.good, bento, Path(scratch, "slim"))
        whole = build("with the training libraries of the same model", stage.good, ordinary, Path(scratch, "whole"))
        print(f"\n{whole.record.size_bytes / slim.record.size_bytes:.1f} times as large")


if __name__ == "__main__":
    main()
