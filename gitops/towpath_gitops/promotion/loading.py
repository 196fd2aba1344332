"""What a load test found, as sentences and a table of the decision document."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from towpath_gitops.promotion import wording
from towpath_gitops.records.base import short
from towpath_gitops.records.figures import Measured
from towpath_gitops.records.load import Against, LoadSummary, Served

LOAD: Final = ("", "champion", "challenger", "ratio", "95% interval", "champion to itself")
_BUSY: Final = 0.8  # of a processor: a driver that takes more limits the throughput that it measures


def setting(found: LoadSummary) -> str:
    """Say how the services were driven."""
    how = found.setting
    sent = how.sent
    rows = "one row each" if sent.rows == sent.bodies else f"{sent.rows / sent.bodies:.1f} rows each on average"
    who = "Champion, champion again and challenger" if found.champion else "The challenger alone"
    paced = f"{how.paced_s:g} s at {how.rate:g} requests a second ({how.shape}), from which latency is told"
    full = f"{how.full_s:g} s as fast as {wording.count(how.users, 'connection')} allowed"
    sentences = [
        f"{who} served on one machine with {wording.count(how.cpus, 'processor')}.",
        f"In each of {wording.count(how.rounds, 'round')}, in changing order: {paced}, then {full}.",
        f"Requests came from {sent.source}: {rows}, {wording.percent(sent.missing)} of the values missing.",
    ]
    sentences += _origin(found)
    if found.champion is None:
        sentences.append("There was no champion to compare it with: only what `serve` promises was judged.")
    if found.driver_share > _BUSY:
        share = wording.percent(found.driver_share)
        sentences.append(f"The driver took {share} of a processor: services may bear more than was measured.")
    return " ".join(sentences)


def _origin(found: LoadSummary) -> Iterator[str]:
    """Say from what the services ran."""
    images = {"challenger": found.image, "champion": found.champion_image}
    for who, image in images.items():
        if image is not None:
            yield f"The {who} served from its image {short(image)}, started by digest."
    if found.image is not None and found.champion is not None and found.champion_image is None:
        yield "Main declares no image of the champion: it served without one, so that the two differ in this as well."
    if found.code is not None:
        where = "Without an image, the" if found.image else "The"
        yield f"{where} service's code was that of commit {found.code[:12]}."


def loads(found: LoadSummary) -> list[list[str]]:
    """Return a row for each figure, for a table under `LOAD`."""
    against: dict[str, Against] = {each.measure: each for each in found.against}
    rows = [
        [
            label,
            *(write(found, side) if side else "" for side in (found.champion, found.challenger)),
            *_ratio(against.get(name)),
        ]
        for name, label, write in _ROWS
    ]
    return [row for row in rows if any(row[1:])]


def _ratio(against: Against | None) -> Sequence[str]:
    if against is None:
        return "", "", ""
    ratio, noise = against.ratio, against.noise
    return f"{ratio.value:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}", f"{noise.low:.3f} to {noise.high:.3f}"


def _within(measured: Measured, write: Callable[[float], str]) -> str:
    return f"{write(measured.value)} ({write(measured.low)} to {write(measured.high)})"


def _latency(name: str) -> Callable[[LoadSummary, Served], str]:
    return lambda _, side: _within(getattr(side, name), wording.duration)


def _rate(_: LoadSummary, side: Served) -> str:
    return _within(side.rate, lambda value: f"{value:,.0f}")


def _errors(_: LoadSummary, side: Served) -> str:
    return _within(side.errors, lambda value: f"{value:.3%}")


def _cpu(_: LoadSummary, side: Served) -> str:
    return _within(side.cpu_s_per_million, wording.figure)


def _money(found: LoadSummary, side: Served) -> str:
    price = found.price
    if price is None:
        return ""
    return _within(side.cpu_s_per_million, lambda cpu_s: wording.money(price, price.amount * cpu_s / 3600))


def _memory(_: LoadSummary, side: Served) -> str:
    return "" if side.memory_bytes is None else wording.size(side.memory_bytes)


_ROWS: Final[Sequence[tuple[str, str, Callable[[LoadSummary, Served], str]]]] = (
    ("p50_ms", "half of the requests within", _latency("p50_ms")),
    ("p95_ms", "95% within", _latency("p95_ms")),
    ("p99_ms", "99% within", _latency("p99_ms")),
    ("rate", "good answers a second, at most", _rate),
    ("errors", "requests that failed", _errors),
    ("cpu_s_per_million", "CPU seconds for a million predictions, HTTP included", _cpu),
    ("money", "cost of a million predictions", _money),
    ("memory", "memory of all processes of the service", _memory),
)
