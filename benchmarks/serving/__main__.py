"""Serving, beside every peer in one run: `python benchmarks/serving`, or `make bench-serving`.

All servers run at once and take turns under load, in changing order: what disturbs the machine disturbs all of them.
One process serves, with one thread for the trees; the load comes from wrk on the other core.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a folder, it is not on the path by its name

from serving import conduct
from serving.agreement import agree
from serving.load import Figures, Running, needs_wrk, serving
from serving.model import make
from serving.peers import BARE, PEERS, TOWPATH

CONNECTIONS = 8


def main() -> None:
    """Measure, and print the table of benchmarks/README.md."""
    parser = argparse.ArgumentParser(prog="benchmarks/serving", description="Set Towpath's service beside its peers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each round")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of peers' names")
    options = parser.parse_args()
    needs_wrk()
    chosen = [peer for peer in PEERS if not options.only or peer.name.startswith((TOWPATH, *options.only))]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        made = make(Path(folder))
        running = [stack.enter_context(serving(peer, made)) for peer in chosen]
        agree(running)
        for rows in (1, 100):
            _print(rows, options.rounds, _measured(running, rows, options.rounds, options.seconds))
        print("\n| server | memory of its own |\n| --- | --- |")
        for server in running:
            print(f"| {server.peer.name} | {server.memory_mb:.0f} MB |", flush=True)
        conduct.longest([server for server in running if server.peer.name in {TOWPATH, BARE}])
        conduct.switching(running[0], options.rounds, options.seconds)
        stack.close()
        conduct.scaling(made, options.rounds, options.seconds)


def _measured(running: Sequence[Running], rows: int, rounds: int, seconds: int) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {server.peer.name: [] for server in running}
    for number in range(rounds + 1):
        for server in running if number % 2 else reversed(running):
            figures = server.round(rows, CONNECTIONS, seconds)
            if number:  # the first is not counted
                found[server.peer.name].append(figures)
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _print(rows: int, rounds: int, found: dict[str, list[Figures]]) -> None:
    """Print a row for each; ratios are of the processor's time in the same round, to Towpath's."""
    print(f"\n{rows} row{'s' * (rows > 1)}, {CONNECTIONS} connections, {rounds} rounds:\n")
    print("| server | CPU ms per request | of Towpath's | requests/s | p50 ms | p99 ms | worst ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ours = found[TOWPATH]
    for name, theirs in sorted(found.items(), key=lambda item: median(each.cpu_ms for each in item[1])):
        ratios = sorted(one.cpu_ms / own.cpu_ms for one, own in zip(theirs, ours, strict=True))
        spread = "1" if name == TOWPATH else f"**{median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        cpu, rate, p50, p99 = (
            median(getattr(each, field) for each in theirs) for field in ("cpu_ms", "rate", "p50_ms", "p99_ms")
        )
        worst = max(each.max_ms for each in theirs)
        print(f"| {name} | {cpu:.3f} | {spread} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {worst:.1f} |")
    if BARE in found:
        share = median(own.rate / one.rate for own, one in zip(ours, found[BARE], strict=True))
        print(f"\nTowpath answers {share:.0%} of the requests a second that bare uvicorn does.")


if __name__ == "__main__":
    main()
