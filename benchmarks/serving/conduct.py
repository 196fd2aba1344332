"""How the service conducts itself: over a hundred thousand requests, while releases change, and on two workers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from serving.load import Figures, Running, serving
from serving.model import Made
from serving.peers import PEERS, TOWPATH, Peer

from towpath_gitops.files import write_atomically

CONNECTIONS: Final = 8
REQUESTS: Final = 100_000
SWITCH_EVERY_S: Final = 0.5


def longest(running: list[Running]) -> None:
    """Print the tail of a hundred thousand requests to each server."""
    print(f"\n| server, {REQUESTS:,} requests of one row | p50 ms | p99 ms | worst ms |\n| --- | --- | --- | --- |")
    for server in running:
        rate = server.round(1, CONNECTIONS, 2).rate
        found = server.round(1, CONNECTIONS, max(5.0, REQUESTS / rate))
        print(f"| {server.peer.name} | {found.p50_ms:.2f} | {found.p99_ms:.2f} | {found.max_ms:.1f} |", flush=True)


def switching(server: Running, rounds: int, seconds: int) -> None:
    """Print the tail while the pointer is swapped twice a second, beside that of rounds without; a failure raises."""
    steady, restless = list[Figures](), list[Figures]()
    for _ in range(rounds):
        steady.append(server.round(1, CONNECTIONS, seconds))
        with _swapped(server.made.folder / "pointer.json"):
            restless.append(server.round(1, CONNECTIONS, seconds))
    ratios = sorted(one.p99_ms / other.p99_ms for one, other in zip(restless, steady, strict=True))
    requests = sum(each.rate * seconds for each in restless)
    print(f"\nA swap every {SWITCH_EVERY_S:g} s, {requests:,.0f} requests, none failed: the p99 is", end=" ")
    print(f"{median(ratios):.2f} times a steady round's ({ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} rounds).")


@contextmanager
def _swapped(path: Path) -> Iterator[None]:
    """Exchange champion and challenger over and over, as the local target does: by a new generation of the pointer."""
    done = threading.Event()

    def swap() -> None:
        while not done.wait(SWITCH_EVERY_S):
            pointer = json.loads(path.read_text())
            pointer["generation"] += 1
            lanes = pointer["lanes"]
            lanes["champion"], lanes["challenger"] = lanes["challenger"], lanes["champion"]
            write_atomically(path, json.dumps(pointer))

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def scaling(made: Made, rounds: int, seconds: int) -> None:
    """Print how two workers do beside one, under requests of a hundred rows: the load itself takes little of a core."""
    ours = next(peer for peer in PEERS if peer.name == TOWPATH)
    with serving(ours, made) as one, serving(_with_two(ours, made), made) as two:
        pairs = [(one.round(100, CONNECTIONS, seconds), two.round(100, CONNECTIONS, seconds)) for _ in range(rounds)]
    ratios = sorted(both.rate / single.rate for single, both in pairs)
    print(f"\nTwo workers answer {median(ratios):.2f} times the requests of a hundred rows that one does", end=" ")
    print(f"({ratios[0]:.2f} to {ratios[-1]:.2f}, {rounds} rounds), on two cores that the load shares.")


def _with_two(peer: Peer, made: Made) -> Peer:
    folder = made.folder / "two"
    folder.mkdir()
    pointer = folder / "pointer.json"
    pointer.write_text((made.folder / "pointer.json").read_text())
    return replace(peer, command=f"{peer.command} --workers 2", variables={"TOWPATH_POINTER": str(pointer)})
