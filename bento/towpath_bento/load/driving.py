"""Drives services with Locust, in rounds: in each of them every service has its turn, in changing order."""

import importlib.util
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import gevent
import psutil
from locust.env import Environment
from locust.html import get_html_report
from locust.stats import stats_history

from towpath_bento.load.arrivals import Arrivals, Stretched, Tally
from towpath_bento.load.caller import PATIENCE_S, Caller
from towpath_bento.load.plan import Contestant, Driven, Plan, Role
from towpath_bento.load.shapes import FORMS
from towpath_bento.load.traffic import Traffic, from_artifact, from_journal, signature_of
from towpath_gitops.errors import DeliveryError, InvalidFileError
from towpath_gitops.files import write_atomically
from towpath_gitops.records.base import digest_bytes
from towpath_gitops.records.load import Round, Setting, Stretch, Turn

LARGEST_REPORT_BYTES: Final = 4_000_000
_WARM_S: Final = 0.5  # of each kind of stretch, before anything counts
_LEAST_MS: Final = 1e-3
_HOST: Final = "http://127.0.0.1:{}"


class Driver:
    """One service, the users that call it, and what its processes use."""

    def __init__(self, contestant: Contestant, plan: Plan, traffic: Traffic, users: type[Caller]) -> None:
        """Prepare users of a class of their own, so that each service has its own arrivals."""
        self.role, self._plan = contestant.role, plan
        self._process, self._own = psutil.Process(contestant.pid), psutil.Process()
        self.arrivals = Arrivals(traffic)
        own = type(users.__name__, (users,), {"arrivals": self.arrivals, "host": _HOST.format(contestant.port)})
        self.environment = Environment(user_classes=[own], host=_HOST.format(contestant.port), stop_timeout=1)
        self._runner = self.environment.create_local_runner()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the users connected for the time of the block; between turns they wait."""
        history = gevent.spawn(stats_history, self._runner)
        self._runner.start(self._plan.users, spawn_rate=min(self._plan.users, 100))
        try:
            yield
        finally:
            history.kill()
            self._runner.quit()

    def turn(self, seed: int) -> Turn:
        """Drive the service at the promised rate, then as fast as it can."""
        plan = self._plan
        paced_s = plan.paced_s * FORMS[plan.shape].lasts
        paced = self._stretch(Stretched(paced_s, plan.rate, seed, plan.shape))
        return Turn(paced=paced, full=self._stretch(Stretched(plan.full_s, None, seed)))

    def warm(self) -> None:
        """Let connections open and caches fill; nothing of it counts."""
        for rate in (self._plan.rate, None):
            self.arrivals.begin(Stretched(_WARM_S, rate, 0))
            self.arrivals.end(2 * PATIENCE_S)

    def _stretch(self, stretch: Stretched) -> Stretch:
        cpu_s, own_s, began_s = self._cpu_s(), _seconds(self._own), time.perf_counter()
        self.arrivals.begin(stretch)
        self.arrivals.end(2 * PATIENCE_S)
        took_s = time.perf_counter() - began_s
        return _measured(self.role, self.arrivals.tally, took_s, self._cpu_s() - cpu_s, _seconds(self._own) - own_s)

    def _processes(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def _cpu_s(self) -> float:
        return sum(_seconds(each) for each in self._processes())

    def memory_bytes(self) -> int:
        """Return the memory of all processes that is in use; what they share counts for each."""
        return sum(each.memory_info().rss for each in self._processes())

    def report(self) -> bytes:
        """Return Locust's own page about all turns."""
        page: str = get_html_report(self.environment, show_download_link=False)  # type: ignore[no-untyped-call]  # Locust does not annotate it
        return page.encode()


def drive(plan: Plan) -> Driven:
    """Drive the services of a plan, and return what they answered.

    Raises:
        DeliveryError: a service answered nothing at all in a stretch, or ended.
        InvalidFileError, NotFoundError: there is nothing to send, or the locustfile holds no user class.
    """
    users = users_of(Path(plan.callers)) if plan.callers else _Plain
    traffic = {each.role: _traffic(plan, each) for each in plan.contestants}
    drivers = [Driver(each, plan, traffic[each.role], users) for each in plan.contestants]
    try:
        with ExitStack() as stack:
            for driver in drivers:
                stack.enter_context(driver.running())
            for driver in drivers:
                driver.warm()
            rounds = tuple(_round(drivers, number) for number in range(1, plan.rounds + 1))
            memory: dict[Role, int | None] = {driver.role: driver.memory_bytes() for driver in drivers}
            page = drivers[0].report()
    except psutil.NoSuchProcess as error:
        raise DeliveryError("A service ended while it was under load", why=str(error)) from error
    return Driven(
        setting=_setting(plan, traffic["challenger"]),
        rounds=rounds,
        memory_bytes=memory,
        report=_kept(plan, page),
    )


def _round(drivers: Sequence[Driver], number: int) -> Round:
    order = list(drivers)
    random.Random(number).shuffle(order)  # noqa: S311 (nothing secret)
    turns = {driver.role: driver.turn(number) for driver in order}
    sys.stderr.write(f"round {number}\n")
    sys.stderr.flush()
    return Round(challenger=turns["challenger"], champion=turns.get("champion"), twin=turns.get("twin"))


def _measured(role: Role, tally: Tally, took_s: float, cpu_s: float, own_s: float) -> Stretch:
    if not tally.latencies_ms:
        raise DeliveryError(
            f"The {role} answered not one request in {took_s:.1f} s",
            why="Nothing can be said about a service that does not answer.",
            hint="Look at its log, or give the stretches of `serve.load` in model.yaml more time.",
        )
    p50, p95, p99 = _quantiles(tally.latencies_ms, (0.5, 0.95, 0.99))
    return Stretch(
        requests=len(tally.latencies_ms),
        errors=tally.errors,
        rows=tally.rows,
        seconds=took_s,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        cpu_s=max(cpu_s, 0.0),
        driver_cpu_s=max(own_s, 0.0),
    )


def _quantiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Return the least values that so large a share of all does not exceed."""
    ordered = sorted(values)
    places = [min(int(share * len(ordered)), len(ordered) - 1) for share in shares]
    return [max(ordered[place], _LEAST_MS) for place in places]


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _traffic(plan: Plan, contestant: Contestant) -> Traffic:
    """Return what a service is sent: its own release's sample, for it may take other columns than its rival."""
    folder = Path(contestant.artifact)
    return from_journal(Path(plan.journal), signature_of(folder)) if plan.journal else from_artifact(folder)


def _setting(plan: Plan, traffic: Traffic) -> Setting:
    return Setting(
        rounds=plan.rounds,
        shape=plan.shape,
        rate=plan.rate,
        users=plan.users,
        paced_s=plan.paced_s * FORMS[plan.shape].lasts,
        full_s=plan.full_s,
        workers=plan.workers,
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        sent=traffic.sent(),
    )


def _kept(plan: Plan, page: bytes) -> str | None:
    if plan.report is None or len(page) > LARGEST_REPORT_BYTES:
        return None
    write_atomically(Path(plan.report), page)
    return digest_bytes(page)


class _Plain(Caller):
    """Sends what is due, as it is."""


def users_of(path: Path) -> type[Caller]:
    """Return the user class that a locustfile defines.

    Raises:
        InvalidFileError: it defines none, or several.
    """
    spec = importlib.util.spec_from_file_location(f"towpath_callers_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InvalidFileError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Caller) and each.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise InvalidFileError(
            f"{path} defines {len(found)} user classes",
            why="A load test is driven by one class that derives from towpath_bento.load.caller.Caller.",
            hint="See docs/load.md.",
        )
    return found[0]
