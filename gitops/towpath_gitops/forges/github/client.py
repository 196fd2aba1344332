"""GitHub's REST API as this house speaks it: one host, a bounded number of tries, and no doubt about what was done.

PyGithub carries the requests: authentication, connections, no redirect to another host. What to do when one fails is
decided here. A failure that certainly did nothing (a rate limit) is tried again after the time that GitHub asks for. A
failure that may have done it all the same (no answer, a cut one, 5xx) is tried again only when that does no harm, or
after looking whether it was done. Waiting has a bound; beyond it the error says when to come back.
"""

import ipaddress
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from towpath_gitops.errors import ConflictError, NotFoundError, RefusedError, TowpathError, UnavailableError

if TYPE_CHECKING:
    from github.Requester import Requester

TOKENS: Final = ("GITHUB_TOKEN", "GH_TOKEN")
TIMEOUT_S: Final = 30
PATIENCE_S: Final = 60.0  # the most that one command waits for a limit to pass
TRIES: Final = 5
_PER_PAGE: Final = 100
_TOO_MANY, _BROKEN = 429, 500
_VERSION: Final = "2022-11-28"


@dataclass(frozen=True)
class Answer:
    """What GitHub said: below 300 what was asked for, from 400 why not."""

    status: int
    data: Any
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether it did as asked."""
        return self.status < 300  # noqa: PLR2004 (HTTP)

    @property
    def message(self) -> str:
        """GitHub's own words about a refusal, with the details of each error."""
        data = self.data if isinstance(self.data, dict) else {}
        details = [error.get("message", "") if isinstance(error, dict) else error for error in data.get("errors") or ()]
        return ": ".join(str(words) for words in (data.get("message", ""), *details) if words)

    @property
    def is_limit(self) -> bool:
        """Whether it asks to come back later and did nothing: a primary or a secondary rate limit."""
        limited = "retry-after" in self.headers or self.headers.get("x-ratelimit-remaining") == "0"
        return self.status == _TOO_MANY or (self.status == 403 and (limited or "rate limit" in self.message.lower()))  # noqa: PLR2004 (HTTP)


def token_from(environment: Mapping[str, str]) -> str:
    """Return the token that the environment holds; nothing else is asked, no file is read.

    Raises:
        RefusedError: there is none.
    """
    for name in TOKENS:
        if environment.get(name):
            return environment[name]
    raise RefusedError(
        "There is no token for GitHub",
        why=f"The policy keeps pull requests there, and neither {' nor '.join(TOKENS)} is set.",
        hint="export GH_TOKEN=…   (pull requests: write, contents: write, checks: write, members: read)",
    )


def checked_address(api: str) -> str:
    """Return the API's address when a token may be sent to it.

    Raises:
        RefusedError: it is neither encrypted nor on this machine, or is link-local, where clouds keep credentials.
    """
    address = urlsplit(api)
    try:
        ip = ipaddress.ip_address(address.hostname or "")
    except ValueError:
        ip = None
    loopback = address.hostname == "localhost" or (ip is not None and ip.is_loopback)
    if not address.hostname or (address.scheme != "https" and not loopback) or (ip is not None and ip.is_link_local):
        raise RefusedError(
            f"{api} gets no token", why="Only https is spoken to a forge.", hint="Correct forge.api in the policy."
        )
    return api.rstrip("/")


@dataclass(frozen=True)
class Api:
    """One repository's part of the API at one address."""

    address: str
    token: str = field(repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    now: Callable[[], float] = field(default=time.time, repr=False)
    timeout_s: int = TIMEOUT_S

    @classmethod
    def of(cls, address: str) -> "Api":
        """Return the API at an address, with the token of this process's environment.

        Raises:
            RefusedError: there is no token, or the address may not have it.
        """
        return cls(checked_address(address), token_from(os.environ))

    # --- asking ------------------------------------------------------------------------------------------------

    def get(self, path: str, **parameters: str | int) -> Any:  # noqa: ANN401 (JSON)
        """Return what is at a path.

        Raises:
            NotFoundError, RefusedError, UnavailableError: see `failed`.
        """
        return self.attempt("GET", _query(path, parameters)).data

    def find(self, path: str, **parameters: str | int) -> Any:  # noqa: ANN401 (JSON)
        """Return what is at a path, or None when there is nothing."""
        answer = self.attempt("GET", _query(path, parameters), expected={404})
        return answer.data if answer.ok else None

    def pages(self, path: str, *, key: str | None = None, **parameters: str | int) -> Iterator[Any]:
        """Yield the items of a list, of every page; `key` names the list inside an object."""
        answer = self.attempt("GET", _query(path, {"per_page": _PER_PAGE} | parameters))
        while True:
            yield from answer.data[key] if key else answer.data
            following = _next(answer.headers.get("link", ""))
            if following is None:
                return
            answer = self.attempt("GET", self._own(following))

    def _own(self, address: str) -> str:
        """Return the path of a next page's address, which must be this API's own."""
        if not address.startswith(f"{self.address}/"):
            raise RefusedError("GitHub names a next page on another host", why=address)
        return address.removeprefix(self.address)

    # --- doing -------------------------------------------------------------------------------------------------

    def set(self, verb: str, path: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
        """Do what may safely be done twice, such as setting a field, and return what GitHub says of it.

        Raises:
            NotFoundError, ConflictError, RefusedError, UnavailableError: see `failed`.
        """
        return self.attempt(verb, path, body=body).data

    def create(self, path: str, body: object, *, look: Callable[[], Any | None]) -> Any:  # noqa: ANN401 (JSON)
        """Make something exactly once and return it: whenever it is uncertain whether it was made, `look` finds it.

        Raises:
            RefusedError: GitHub refuses it, and `look` finds nothing that would be the reason.
            UnavailableError: no certainty within a few tries.
        """
        for turn in range(TRIES):
            try:
                answer = self.attempt("POST", path, body=body, once=True, expected={422})
            except UnavailableError:
                self.sleep(_backoff_s(turn))
                found = look()
                if found is None and turn == TRIES - 1:
                    raise
            else:
                found = answer.data if answer.ok else look()
                if found is None:
                    raise failed(answer, f"POST {path}")
            if found is not None:
                return found
        raise AssertionError  # the loop returns or raises

    def attempt(
        self, verb: str, path: str, *, body: object = None, expected: Collection[int] = (), once: bool = False
    ) -> Answer:
        """Ask, wait where GitHub asks to, and return an answer that is fine or `expected` (statuses from 400).

        With `once`, only failures that certainly did nothing are tried again.

        Raises:
            NotFoundError, ConflictError, RefusedError: see `failed`.
            UnavailableError: no answer that tells anything, or a longer wait than is patient.
        """
        left_s = PATIENCE_S
        for turn in range(TRIES):
            answer = self._send(verb, path, body)
            if answer and not answer.is_limit and answer.status < _BROKEN:
                if answer.ok or answer.status in expected:
                    return answer
                raise failed(answer, f"{verb} {path}")
            limited = answer is not None and answer.is_limit
            pause_s = self._limit_s(answer) if answer and limited else _backoff_s(turn)
            if (once and not limited) or turn == TRIES - 1 or pause_s > left_s:
                raise self._unavailable(answer, f"{verb} {path}", pause_s)
            left_s -= pause_s
            self.sleep(pause_s)
        raise AssertionError  # the loop returns or raises

    def _send(self, verb: str, path: str, body: object) -> Answer | None:
        """Return what GitHub says, or None when it says nothing that can be read to its end."""
        try:
            status, headers, text = self._requester.requestJson(verb, path, None, None, body)
        except OSError:  # what requests raises for everything from a refused connection to a body that was cut
            return None
        except RuntimeError as error:
            raise RefusedError("GitHub points to another host", why=self._redacted(str(error))) from error
        text = self._redacted(text)
        try:
            return Answer(status, json.loads(text) if text.strip() else None, headers)
        except ValueError:
            return None if status < 400 else Answer(status, {"message": text[:200]}, headers)  # noqa: PLR2004 (HTTP)

    def _limit_s(self, answer: Answer) -> float:
        """Return how long to wait before a limit has passed, in seconds."""
        after, reset = (answer.headers.get(name, "") for name in ("retry-after", "x-ratelimit-reset"))
        if after.isdecimal():
            return float(after)
        if reset.isdecimal() and answer.headers.get("x-ratelimit-remaining") == "0":
            return max(0.0, float(reset) - self.now()) + 1
        return PATIENCE_S  # GitHub's own advice for a limit that does not say how long

    def _unavailable(self, answer: Answer | None, what: str, pause_s: float) -> UnavailableError:
        if answer is None or not answer.is_limit:
            said = "gives no answer" if answer is None else f"fails ({answer.status})"
            return UnavailableError(f"GitHub {said}", why=what, hint="Run the same command again later.")
        when = datetime.fromtimestamp(self.now() + pause_s, UTC)
        return UnavailableError(
            "GitHub's rate limit is used up",
            why=answer.message or what,
            hint=f"Run the same command again after {when:%H:%M} UTC.",
        )

    def _redacted(self, text: str) -> str:
        return text.replace(self.token, "…")

    @cached_property
    def _requester(self) -> "Requester":
        from github import Auth, Github  # noqa: PLC0415 (half a second, which only this forge needs)

        client = Github(
            auth=Auth.Token(self.token),
            base_url=self.address,
            timeout=self.timeout_s,
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            api_version=_VERSION,
        )
        return client.requester


def failed(answer: Answer, what: str) -> TowpathError:
    """Return the error for an answer that says no, for good: none of these gets better by trying again."""
    words = answer.message or what
    if answer.status == 401:  # noqa: PLR2004 (HTTP)
        return RefusedError("GitHub does not accept the token", why=words, hint=f"Renew {' or '.join(TOKENS)}.")
    if answer.status == 403:  # noqa: PLR2004 (HTTP)
        return RefusedError("The token may not do this on GitHub", why=f"{what}: {words}")
    if answer.status in {404, 410}:
        return NotFoundError("GitHub has nothing there", why=f"{what}: {words}")
    if answer.status == 409:  # noqa: PLR2004 (HTTP)
        return ConflictError("Things have moved on GitHub", why=words, hint="Look again, then repeat.")
    if answer.status < 400:  # noqa: PLR2004 (HTTP)
        return RefusedError("GitHub points elsewhere", why=f"{what}: {answer.headers.get('location', '')}")
    return RefusedError("GitHub refuses", why=f"{what}: {words}")


def quoted(segment: str) -> str:
    """Return a name, such as a branch's, as one segment of a path."""
    return quote(segment, safe="")


def _query(path: str, parameters: Mapping[str, str | int]) -> str:
    return f"{path}?{urlencode(parameters)}" if parameters else path


def _backoff_s(turn: int) -> float:
    return 0.25 * 2.0**turn


def _next(link: str) -> str | None:
    """Return the address of the next page in a Link header, or None on the last."""
    match = re.search(r'<([^>]+)>;[^,]*rel="next"', link)
    return match[1] if match else None
