"""End to end: the reconciler and the real BentoML service."""

import threading
from typing import TYPE_CHECKING

from towpath_gitops.delivery.loopback import ask
from towpath_gitops.delivery.targets.local import COMMAND
from towpath_gitops.errors import UnavailableError
from towpath_gitops.records.evidence import Verdict

if TYPE_CHECKING:
    from tests.gitops.delivery.conftest import Publish, World

SERVICE = """from towpath_bento.server import model_server

service = model_server("{model}")
"""


def test_forward_and_back_without_a_lost_request(world: "World", publish: "Publish") -> None:
    """Two workers, requests all the while: every one is answered, and the old release returns with its old bytes.

    In the end the state folder is lost: the same workers go on, and a reconcile only writes it anew.
    """
    world.command, world.workers = COMMAND, 2
    world.push({"bento/service.py": SERVICE.format(model=world.model).encode()})
    old, new = publish(0.0, graph=True), publish(1.0, graph=True)
    world.declare(old)
    first = world.reconcile(deadline_s=180.0)
    stop, answered, lost = threading.Event(), [], []

    def keep_asking() -> None:
        while not stop.wait(0.01):
            try:
                answered.append(ask(world.ports["staging"], "/v1/predict", b'{"rows":[{"x":1.0}]}').status)
            except UnavailableError as error:
                lost.append(error)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    world.declare(new)
    forward = world.reconcile()
    world.declare(old, change={"type": "rollback", "from": new.id, "reason": "worse"})
    back = world.reconcile()
    before = world.target().observe()
    folder = world.target().folder
    folder.rename(folder.with_name("lost"))  # at once: the workers go on writing to it
    again = world.reconcile()
    after = world.target().observe()
    stop.set()
    thread.join()
    assert (again.changed, again.entries, again.verdict) == (False, (), Verdict.PASS)
    assert (after.details["pid"], after.version) == (before.details["pid"], before.version)
    assert (forward.verdict, back.verdict) == (Verdict.PASS, Verdict.PASS)
    assert back.entries[-1].answers == first.entries[-1].answers
    assert (set(answered), lost) == ({200}, [])
    print(f"swap {forward.verified_after_s:.2f} s, back {back.verified_after_s:.2f} s, {len(answered)} answered")  # noqa: T201 (a figure for people: pytest -s)
    version = world.target().observe().version
    assert version
    assert len(version.workers) == 2
    world.target().stop()
    assert not world.target().observe().running
