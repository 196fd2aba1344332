"""Releases that are asked by their ids: `POST /v1/releases/{id}/predict`."""

import shutil
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage
from towpath_ci.drills.worker import Worker, held, rows, said, serving
from towpath_gitops.records.base import digest_of
from towpath_gitops.records.pointer import LanePointer

_PLACES: Final = 2  # in memory, beside the champion's
_ANSWERS: Final = frozenset({HTTPStatus.OK})


class UnservedRelease(Drill):
    """A release that never served here answers nobody, whatever its evidence."""

    injected = "a request for a registered release, by its id, to a service that never served it"
    gate = "404"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Ask for one that served here before."""
        return _of_before(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Ask for it where only the champion ever served."""
        with serving(held(stage, stage.good)) as worker:
            return _refused(worker, held(stage, stage.peer))


class ExchangedRelease(Drill):
    """A release of before whose files were exchanged since is not opened, and the champion goes on."""

    injected = "another release's whole artifact in the place of one that is loaded when it is asked for"
    gate = "503"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Ask for it with its own files."""
        return _of_before(stage)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Exchange them after the service has started; they load, and answer their own golden requests."""
        with TemporaryDirectory(prefix="towpath-drill-") as place:
            peer = held(stage, stage.peer)
            lying = peer.model_copy(update={"path": str(Path(place, "artifact"))})
            with serving(held(stage, stage.good), [lying]) as worker:
                shutil.copytree(held(stage, stage.good).path, lying.path)
                refused = _refused(worker, peer)
                return refused if _champion_answers(worker, held(stage, stage.good)) else []


class CrowdedMemory(Drill):
    """Whoever asks for many releases makes a service forget those, and never its champion."""

    injected = "more releases, asked by their ids, than may be held beside the champion"
    gate = "memory"

    def good(self, stage: Stage) -> Sequence[Refusal]:
        """Ask for as many as may be held: all stay."""
        return _forgotten(stage, _PLACES)

    def bad(self, stage: Stage) -> Sequence[Refusal]:
        """Ask for twice as many: as many must go, and the champion must not be one of them."""
        return _forgotten(stage, 2 * _PLACES)


def _of_before(stage: Stage) -> Sequence[Refusal]:
    """Ask for a release that served here before."""
    with serving(held(stage, stage.good), [held(stage, stage.peer)]) as worker:
        return _refused(worker, held(stage, stage.peer))


def _refused(worker: Worker, release: LanePointer) -> Sequence[Refusal]:
    answer = worker.ask(release.release, rows(release, 1))
    return [] if answer.status in _ANSWERS else [Refusal(str(answer.status), said(answer))]


def _champion_answers(worker: Worker, champion: LanePointer) -> bool:
    return not _refused(worker, champion) and champion in worker.server.follower.held


def _forgotten(stage: Stage, count: int) -> Sequence[Refusal]:
    """Let `count` releases be asked, and return those that are not held any more, if no more are than may be."""
    from towpath_bento.settings import Limits  # noqa: PLC0415 (heavy: only some drills need it)

    champion, peer = held(stage, stage.good), held(stage, stage.peer)
    # The same files under other ids: what a service knows a release by.
    others = [peer.model_copy(update={"release": digest_of(f"other {number}")}) for number in range(count)]
    with serving(champion, others, Limits(releases=_PLACES)) as worker:
        for each in others:
            if refused := _refused(worker, each):
                return refused
        memory = worker.server.follower.held
        gone = [each for each in others if each not in memory]
        if not _champion_answers(worker, champion) or len(memory) > _PLACES + 1:
            return []
        return [Refusal(CrowdedMemory.gate, f"{each.release} was let go, the champion was not") for each in gone]
