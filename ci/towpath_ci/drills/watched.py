"""A live service with callers, as the guard sees it; and a release that fails them where no test looks."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from towpath_bento.columns import Places
from towpath_ci.drills.base import Refusal
from towpath_ci.drills.stage import MODEL, PRODUCTION, Stage
from towpath_gitops import layout
from towpath_gitops.delivery.guard import Look, guard
from towpath_gitops.delivery.loopback import ask
from towpath_gitops.promotion import declared
from towpath_gitops.promotion.change import promote
from towpath_gitops.records.artifact import GRAPH, SIGNATURE
from towpath_gitops.records.base import canonical_json
from towpath_gitops.records.deployment import edited
from towpath_gitops.records.evidence import Verdict
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

CALLS: Final = 20  # as many as the drills' policy wants in a window
WINDOW_S: Final = 0.1  # as the drills' policy says
# Allowed by the schema, and seen neither in training nor in a golden request.
RARE: Final = {"cargo": "grain", "distance": 100.0, "wind": 5.0, "locks": 30}
_ANSWER: Final = "probabilities"


def watched(stage: Stage, calls: int) -> Look:
    """Let a window go by in which callers ask for the rare row, and return what the guard then sees and does."""
    _look(stage)
    port = declared.deployment(stage.repository, stage.repository.main(), PRODUCTION, MODEL).target.port
    for _ in range(calls):
        ask(port, "/v1/predict", canonical_json({"rows": [RARE]}))
    time.sleep(WINDOW_S)
    return _look(stage)


def refused(look: Look) -> Sequence[Refusal]:
    """Return the guard's verdict as a refusal, unless it is green."""
    judgement = look.judgements["champion"]
    return [] if judgement.verdict is Verdict.PASS else [Refusal(judgement.verdict, judgement.figures)]


def _look(stage: Stage) -> Look:
    return guard(stage.desk(), stage.registry, PRODUCTION, MODEL)


def declare(stage: Stage, release: Release) -> None:
    """Let main declare a release for production at once, as somebody does who may push to it."""
    repository = stage.repository
    repository.fetch()
    main, path = repository.main(), layout.environment_path(PRODUCTION, MODEL)
    before = declared.deployment(repository, main, PRODUCTION, MODEL)
    text = edited(repository.read(main, path) or "", promote(before, release, "a drill", None), source=path)
    repository.push(repository.commit([main], main, {path: text.encode()}, "Promote"), "refs/heads/main", main)


def faulty(stage: Stage) -> Release:
    """Register the good model with a fault: it answers every golden request as before, and fails on the rare row."""
    from towpath_flows.registration import Training, register  # noqa: PLC0415 (heavy: only drills need it)

    source = stage.registry.fetch(stage.good, layout.store(stage.root))
    with TemporaryDirectory(prefix="towpath-drill-") as place:
        folder = Path(place, "artifact")
        shutil.copytree(source, folder)
        signature = parse_json((folder / SIGNATURE).read_bytes(), Signature, source=SIGNATURE)
        _break(folder / GRAPH, Places(signature))
        training = Training(
            model=MODEL,
            folder=folder,
            signature=signature,
            code=stage.repository.head(),
            data=stage.good.data,
            source="a drill",
            window=(None, None),
            params={},
            rows=1,
        )
        return register(stage.root, training, [])


def _break(path: Path, places: Places) -> None:
    """Multiply the answer by the one entry of a list, whose position is 7 where the barge passes more than 29 locks."""
    import onnx  # noqa: PLC0415 (as above)
    from onnx import helper  # noqa: PLC0415 (as above)

    model = onnx.load(path)
    block, place = places.of["locks"]
    for node in model.graph.node:
        node.output[:] = [f"{name}_before" if name == _ANSWER else name for name in node.output]
    model.graph.initializer.extend(
        [
            helper.make_tensor("drill_place", onnx.TensorProto.INT64, [1], [place]),
            helper.make_tensor("drill_most", onnx.TensorProto.FLOAT, [1], [29.0]),
            helper.make_tensor("drill_far", onnx.TensorProto.INT64, [1], [7]),
            helper.make_tensor("drill_list", onnx.TensorProto.FLOAT, [1], [1.0]),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node("Gather", [block, "drill_place"], ["drill_locks"], axis=1),
            helper.make_node("Greater", ["drill_locks", "drill_most"], ["drill_many"]),
            helper.make_node("Cast", ["drill_many"], ["drill_number"], to=onnx.TensorProto.INT64),
            helper.make_node("Mul", ["drill_number", "drill_far"], ["drill_position"]),
            helper.make_node("Gather", ["drill_list", "drill_position"], ["drill_one"]),
            helper.make_node("Mul", [f"{_ANSWER}_before", "drill_one"], [_ANSWER]),
        ]
    )
    onnx.save(model, path)
