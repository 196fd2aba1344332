"""Who may ask a service: callers with one of its keys, or with a token of an OpenID Connect provider. Off by default.

Where it is off nothing of it is on a request's way: the check is an application before the interface, put there only
when `model_server` is given one.
"""

import hmac
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar, Final, Protocol

from towpath_bento import metrics
from towpath_bento.asgi import App, Receive, Scope, Send, problem_answer, reply_early
from towpath_bento.doors import Doors
from towpath_bento.headers import header
from towpath_bento.identity import REQUEST_HEADER, identify, numbers
from towpath_bento.logs import tell_request
from towpath_bento.problems import ProblemError
from towpath_gitops.errors import InvalidFileError, NotFoundError

log = logging.getLogger("towpath.bento.access")

KEYS_VARIABLE: Final = "TOWPATH_API_KEYS"  # separated by commas
KEYS_FILE_VARIABLE: Final = "TOWPATH_API_KEYS_FILE"  # one a line
KEY_HEADER: Final = b"x-api-key"
OPEN: Final = frozenset({"/livez", "/readyz", "/ping"})  # what a supervisor asks; it says nothing of the model
SHORTEST_KEY: Final = 20  # characters; openssl rand -hex 16 makes 32
_REREAD_S: Final = 2.0


class RefusedCallerError(Exception):
    """A caller who did not show that it may ask; the words are for the caller, and name no secret."""


class Check(Protocol):
    """One way to show that one may ask."""

    needs: ClassVar[tuple[str, ...]]  # libraries beyond those of every service

    @property
    def schemes(self) -> dict[str, dict[str, str]]:
        """How callers show it, as security schemes of OpenAPI by name."""
        ...

    def load(self) -> None:
        """Read what the check needs, before the first request; whoever cannot must not serve."""
        ...

    async def admit(self, credential: str) -> None:
        """Return for a credential that is good.

        Raises:
            RefusedCallerError: it is not.
            ProblemError: it cannot be told now.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ApiKeys:
    """Keys that callers send as `x-api-key`, or as `Authorization: Bearer`.

    They are read from the file that `file` or `TOWPATH_API_KEYS_FILE` names, one a line, or from `TOWPATH_API_KEYS`,
    separated by commas. Several count at once: to change one, add the new, let callers change, remove the old. A file
    is read again within two seconds of a change. A key is known here by its hash, and compared in constant time.
    """

    file: str | Path | None = None

    def check(self) -> "KeyCheck":
        """Return the check of these keys."""
        named = self.file or os.environ.get(KEYS_FILE_VARIABLE)
        return KeyCheck(Path(named) if named else None)


class KeyCheck:
    """The keys of now."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, file: Path | None) -> None:
        """Take keys from a file, or from the environment where there is none."""
        self._file = file
        self._hashes: tuple[bytes, ...] = ()
        self._read_at_s = 0.0
        self._stamp: tuple[int, int] | None = None

    @property
    def schemes(self) -> dict[str, dict[str, str]]:
        """A header of its own, or the one that everybody has."""
        return {
            "key": {"type": "apiKey", "in": "header", "name": KEY_HEADER.decode()},
            "bearer": {"type": "http", "scheme": "bearer", "description": "a key of this service"},
        }

    def load(self) -> None:
        """Read the keys.

        Raises:
            NotFoundError: there is none: a service that asks for keys must not start without.
            InvalidFileError: one is too short to be a secret, or the file is not to be read.
        """
        text = os.environ.get(KEYS_VARIABLE, "").replace(",", "\n")
        if self._file is not None:
            try:
                stat = self._file.stat()
                text, self._stamp = self._file.read_text(encoding="utf-8"), (stat.st_mtime_ns, stat.st_ino)
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidFileError(f"The keys in {self._file} cannot be read", why=str(error)) from error
        self._hashes = tuple(map(_hash, _keys(text, str(self._file or KEYS_VARIABLE))))
        self._read_at_s = time.monotonic()

    async def admit(self, credential: str) -> None:
        """Compare with every key, as long for a wrong one as for a right one.

        Raises:
            RefusedCallerError: it is none of them.
        """
        self._reread()
        given = _hash(credential)
        found = [hmac.compare_digest(given, known) for known in self._hashes]  # all of them, whichever fits
        if not any(found):
            message = "The key is not one of this service's."
            raise RefusedCallerError(message)

    def _reread(self) -> None:
        """Look whether the file has changed, at most every two seconds; a broken one leaves the keys as they were."""
        if self._file is None or time.monotonic() - self._read_at_s < _REREAD_S:
            return
        self._read_at_s = time.monotonic()
        try:
            stat = self._file.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._stamp:
                self.load()
        except (OSError, InvalidFileError, NotFoundError) as error:
            log.error("the API keys were not read again, the earlier ones stay: %s", error)  # noqa: TRY400 (no trace)


class Guarded:
    """An interface behind checks: a caller that passes one of them may ask."""

    def __init__(
        self, app: App, checks: Mapping[str, Check], model: str, also_open: frozenset[str], *, tells: bool
    ) -> None:
        """Stand before `app`; `tells` a line of each refusal."""
        self._app, self._checks, self._tells = app, checks, tells
        self._open = OPEN | also_open
        self._challenge = f'Bearer realm="{model}"'
        self._fresh = numbers()

    @property
    def doors(self) -> Doors:
        """Who may ask, as the contract says it."""
        schemes = {name: each for check in self._checks.values() for name, each in check.schemes.items()}
        return Doors(schemes, self._open, outside="token" in self._checks)

    @property
    def needs(self) -> tuple[str, ...]:
        """The libraries that the interface and its checks need beyond those of every service."""
        below: tuple[str, ...] = getattr(self._app, "needs", ())
        return (*below, *(library for check in self._checks.values() for library in check.needs))

    def load(self) -> None:
        """Read what the checks need, before the first request.

        Raises:
            NotFoundError, InvalidFileError: there is no key, or it cannot be read: such a service must not start.
            MissingDependencyError: PyJWT is not installed, and tokens are asked for.
        """
        self._fresh = numbers()
        for check in self._checks.values():
            check.load()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may ask, and refuse what may not before its body is read."""
        if scope["type"] == "http" and scope["path"] not in self._open:
            started_s = time.perf_counter()
            try:
                await self._admit(scope)
            except ProblemError as problem:
                await self._refuse(scope, receive, send, problem, started_s)
                return
        await self._app(scope, receive, send)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, problem: ProblemError, started_s: float
    ) -> None:
        metrics.count_refusal(int(problem.status))
        answer, request = problem_answer(problem), identify(scope, self._fresh)
        if self._tells:
            told = problem.headers | {REQUEST_HEADER: request}
            tell_request(scope, answer.status, time.perf_counter() - started_s, **told)
        await reply_early(receive, send, answer, request)

    async def _admit(self, scope: Scope) -> None:
        credential, shown = _credential(scope)
        refusals = []
        for name, check in self._checks.items():
            if credential and (shown is None or shown == name):
                try:
                    await check.admit(credential)
                except RefusedCallerError as refusal:
                    refusals.append(str(refusal))
                else:
                    return
        if not refusals:
            raise ProblemError(HTTPStatus.UNAUTHORIZED, self._asks(), www_authenticate=self._challenge)
        said = refusals[-1]
        challenge = f'{self._challenge}, error="invalid_token", error_description="{said}"'
        raise ProblemError(HTTPStatus.UNAUTHORIZED, said, www_authenticate=challenge)

    def _asks(self) -> str:
        ways = {"key": "x-api-key: KEY", "token": "Authorization: Bearer TOKEN"}
        return f"Say who you are: {' or '.join(ways[name] for name in self._checks)}"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask. One of the two, or both: then either will do.

    Args:
        keys: keys of this service.
        tokens: tokens of a provider, such as the platform's own.
        also_open: paths that need neither, besides /livez, /readyz and /ping: `("/metrics",)` for a scraper.

    Raises:
        InvalidFileError: neither is given.
    """

    keys: ApiKeys | None = None
    tokens: "Tokens | None" = None
    also_open: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what lets nobody in."""
        if self.keys is None and self.tokens is None:
            raise InvalidFileError(
                "Access() names neither keys nor tokens", hint="Write Access(keys=ApiKeys()), or leave it out."
            )

    def guard(self, app: App, model: str, *, tells: bool = False) -> Guarded:
        """Return `app` behind these checks, which are read by `load`; with `tells`, each refusal is logged."""
        given = {"key": self.keys, "token": self.tokens}
        checks: dict[str, Check] = {name: setting.check() for name, setting in given.items() if setting is not None}
        return Guarded(app, checks, model, frozenset(self.also_open), tells=tells)


class Tokens(Protocol):
    """Settings of a check of tokens; `towpath_bento.openid.OpenId` is one."""

    def check(self) -> Check:
        """Return the check."""
        ...


def _keys(text: str, source: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise NotFoundError(
            "A service that asks for API keys has none",
            why=f"{source} holds no key.",
            hint=f"Set {KEYS_VARIABLE} or {KEYS_FILE_VARIABLE}; a key: openssl rand -hex 16",
        )
    if any(len(key) < SHORTEST_KEY for key in found):
        raise InvalidFileError(
            f"An API key in {source} is shorter than {SHORTEST_KEY} characters",
            why="It could be guessed.",
            hint="Make one: openssl rand -hex 16",
        )
    return found


def _hash(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _credential(scope: Scope) -> tuple[str, str | None]:
    """Return what the caller shows, and which check it is for; None where it may be for any."""
    key = header(scope, KEY_HEADER)
    if key:
        return key, "key"
    scheme, _, credential = header(scope, b"authorization").partition(" ")
    return (credential.strip(), None) if scheme.lower() == "bearer" else ("", None)
