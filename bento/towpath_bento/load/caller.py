"""The user of Locust that calls a service, and what a locustfile may be told on the command line.

Locust patches the whole process with gevent when it is imported: import this in a process of its own only.
"""

from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, get_args

import gevent
from locust import FastHttpUser, events, task

from towpath_bento.load.arrivals import Arrivals, Call, Stretched
from towpath_bento.load.traffic import Traffic, from_artifact, from_journal, signature_of
from towpath_gitops import layout
from towpath_gitops.errors import NotFoundError
from towpath_gitops.records.load import Shape
from towpath_gitops.records.parsing import parse_json
from towpath_gitops.records.pointer import POINTER, Pointer

if TYPE_CHECKING:
    from locust.env import Environment

PATH: Final = "/v1/predict"
PATIENCE_S: Final = 10.0  # for one answer; later it has failed


class Caller(FastHttpUser):
    """Takes the next request that is due and sends it; a class of one's own may send it otherwise."""

    abstract = True
    arrivals: ClassVar[Arrivals]  # set before the users begin
    connection_timeout = PATIENCE_S
    network_timeout = PATIENCE_S
    headers: ClassVar[dict[str, str]] = {"Content-Type": "application/json"}

    @task
    def predict(self) -> None:
        """Ask for the predictions of one request."""
        with self.arrivals.next() as call:
            call.done(self.send(call))

    def send(self, call: Call) -> int:
        """Send a request, and return the status of its answer: 0 where there was none."""
        return int(self.client.post(PATH, data=call.body, headers=self.headers).status_code)  # type: ignore[arg-type]  # bytes are sent as they are


# --- by hand: locust -f bento/locustfile.py -----------------------------------------------------------------------


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust does not annotate it
def _options(parser: Any, **_: Any) -> None:  # noqa: ANN401 (Locust's own parser)
    own = parser.add_argument_group("Towpath", "What is sent, and how often.")
    own.add_argument("--artifact", default="", help="Folder of a release; by default what serves here.")
    own.add_argument("--journal", default="", help="Folder of Parquet files to send instead of the reference sample.")
    own.add_argument("--rate", type=float, default=200.0, help="Requests a second; 0: every user asks again at once.")
    own.add_argument("--shape", choices=get_args(Shape), default="steady", help="How the rate goes, over --run-time.")


@events.init.add_listener  # type: ignore[untyped-decorator]  # as above
def _prepare(environment: "Environment", **_: Any) -> None:  # noqa: ANN401 (Locust tells more)
    """Read what is sent before the clock of --run-time starts, and set that clock.

    Gevent counts from when its loop last ran, which is before Locust was imported: on a busy machine a short run was
    over before it began.
    """
    options = environment.parsed_options
    if options is None:
        return
    if options.headless:
        _traffic(options.artifact, options.journal)
    gevent.get_hub().loop.update_now()


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # as above
def _begin(environment: "Environment", **_: Any) -> None:  # noqa: ANN401 (Locust tells more)
    """Give the users of a locustfile their arrivals; whoever drives Locust as a library has done so."""
    options = environment.parsed_options
    if options is None:
        return
    Caller.arrivals = Arrivals(_traffic(options.artifact, options.journal))
    run_time = options.run_time if isinstance(options.run_time, int | float) else None
    Caller.arrivals.begin(Stretched(run_time or inf, options.rate or None, 0, options.shape))


@cache
def _traffic(artifact: str, journal: str) -> Traffic:
    folder = Path(artifact) if artifact else _served_here()
    return from_journal(Path(journal), signature_of(folder)) if journal else from_artifact(folder)


def _served_here() -> Path:
    """Return the folder of what was pointed to last in this clone.

    Raises:
        NotFoundError: nothing was.
    """
    found = sorted(
        layout.state(Path.cwd(), "local").glob(f"*/*/{POINTER}"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    if not found:
        raise NotFoundError(
            "Nothing serves here whose reference sample could be sent",
            hint="Start a service with `towpath reconcile`, or name a release's folder: --artifact FOLDER.",
        )
    return Path(parse_json(found[0].read_bytes(), Pointer, source=POINTER).lanes["champion"].path)
