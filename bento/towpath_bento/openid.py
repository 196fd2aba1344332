"""Tokens of an OpenID Connect provider: signature, issuer, audience and time are checked by PyJWT (RFC 7519, 8725).

The provider's keys are fetched with a timeout and cached. A key that is not known makes them be fetched again, but not
more often than every half minute: callers who invent keys cannot make a service ask without end.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from towpath_bento.access import RefusedCallerError
from towpath_bento.problems import ProblemError
from towpath_gitops.errors import InvalidFileError, MissingDependencyError

if TYPE_CHECKING:
    from jwt import PyJWK

log = logging.getLogger("towpath.bento.access")

# Only signatures of which the service holds no secret: with HS256 whoever can check a token can make one.
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
DISCOVERY: Final = "/.well-known/openid-configuration"
LONGEST_TOKEN: Final = 8_192  # characters
_COOL_S: Final = 30.0  # between two fetches that an unknown key asks for
_KEPT_S: Final = 3_600.0  # that keys count although the provider is away
_TRUSTED_S: Final = 60.0  # that a token, once checked, is not checked again
_MOST_TRUSTED: Final = 1_000
_REQUIRED: Final = ("exp", "iss", "aud")


@dataclass(frozen=True, kw_only=True)
class OpenId:
    """Tokens of one provider for one audience, sent as `Authorization: Bearer`.

    Args:
        issuer: who vouches for callers: the token's `iss`, exactly.
        audience: whom the token is for: this service, as the provider calls it. A token for another is refused.
        keys: address of the provider's keys (JWKS); by default the one that its discovery document names.
        algorithms: of signatures; asymmetric ones only.
        leeway_s: by which clocks may differ.
        timeout_s: for an answer of the provider.
        refresh_s: after which its keys are fetched again.

    Raises:
        InvalidFileError: an address that is neither https nor this machine's, or an algorithm that is not asymmetric.
    """

    issuer: str
    audience: str
    keys: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    leeway_s: float = 30.0
    timeout_s: float = 3.0
    refresh_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what would be no check."""
        for address in filter(None, (self.issuer, self.keys)):
            _require_safe(address)
        unfit = [name for name in self.algorithms if name not in ALGORITHMS]
        if unfit or not self.algorithms or not self.audience:
            what = f"algorithms {', '.join(unfit)}" if unfit else "no algorithm, or no audience"
            raise InvalidFileError(
                f"OpenId() names {what}", why="Whoever can check such a token could make it.", hint="RS256 or ES256"
            )

    def check(self) -> "TokenCheck":
        """Return the check of these tokens."""
        return TokenCheck(self)


class TokenCheck:
    """What is known of a provider's keys, and the tokens that were good a moment ago."""

    needs: ClassVar[tuple[str, ...]] = ("pyjwt[crypto]",)

    def __init__(self, settings: OpenId) -> None:
        """Know no key yet: the first token makes them be fetched."""
        self._settings = settings
        self._keys: dict[str, PyJWK] = {}
        self._fetched_s = self._tried_s = float("-inf")
        self._lock = asyncio.Lock()
        self._trusted: OrderedDict[str, float] = OrderedDict()

    @property
    def schemes(self) -> dict[str, dict[str, str]]:
        """By a token of the provider, which says itself where it gives them out."""
        place = self._settings.issuer.rstrip("/") + DISCOVERY
        described = f"a token for {self._settings.audience}, as Authorization: Bearer"
        return {"token": {"type": "openIdConnect", "openIdConnectUrl": place, "description": described}}

    def load(self) -> None:
        """Look whether PyJWT and what it needs are installed; the provider may be away when a service starts.

        Raises:
            MissingDependencyError: they are not.
        """
        try:
            import cryptography  # noqa: F401, PLC0415 (only asked whether it is there)
            import jwt  # noqa: F401, PLC0415 (as above)
        except ImportError as error:
            raise MissingDependencyError(
                "Tokens cannot be checked", why=str(error), hint="pip install 'towpath[oidc]'"
            ) from error

    async def admit(self, credential: str) -> None:
        """Return for a token that the provider signed for this audience and whose time has not run out.

        Raises:
            RefusedCallerError: it is not such a one.
            ProblemError: 503, its key is not known and the provider does not answer.
        """
        if self._trusted.get(credential, 0.0) > time.monotonic():
            return
        if len(credential) > LONGEST_TOKEN:
            message = "The token is too long."
            raise RefusedCallerError(message)
        claims = self._decode(credential, await self._key(_key_id(credential)))
        left_s = float(claims["exp"]) + self._settings.leeway_s - time.time()
        self._trusted[credential] = time.monotonic() + min(_TRUSTED_S, left_s)
        while len(self._trusted) > _MOST_TRUSTED:
            self._trusted.popitem(last=False)

    def _decode(self, token: str, key: "PyJWK") -> dict[str, Any]:
        import jwt  # noqa: PLC0415 (only services that check tokens need it)

        settings = self._settings
        try:
            return jwt.decode(
                token,
                key,
                algorithms=list(settings.algorithms),
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": list(_REQUIRED)},
            )
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise RefusedCallerError(_words(error)) from error

    async def _key(self, name: str) -> "PyJWK":
        now_s = time.monotonic()
        if now_s - self._fetched_s > self._settings.refresh_s or name not in self._keys:
            await self._refresh(name)
        if time.monotonic() - self._fetched_s > _KEPT_S:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, "The provider that vouches for callers is away.", retry_after="5"
            )
        if name not in self._keys:
            message = "The token is signed with a key that the provider does not publish."
            raise RefusedCallerError(message)
        return self._keys[name]

    async def _refresh(self, name: str) -> None:
        """Fetch the keys, once for all who wait; whoever is away leaves what is known."""
        async with self._lock:
            now_s = time.monotonic()
            fresh = now_s - self._fetched_s <= self._settings.refresh_s
            if (fresh and name in self._keys) or now_s - self._tried_s < _COOL_S:
                return
            self._tried_s = now_s
            try:
                self._keys = await asyncio.to_thread(_fetch, self._settings)
                self._fetched_s = time.monotonic()
            except Exception as error:  # noqa: BLE001 (whatever a provider or the network does: the keys of before stay)
                log.warning("the provider's keys could not be fetched: %s", error)


def _fetch(settings: OpenId) -> dict[str, "PyJWK"]:
    """Return the provider's signing keys by their ids."""
    import jwt  # noqa: PLC0415 (only services that check tokens need it)

    address = settings.keys or _discovered(settings)
    client = jwt.PyJWKClient(address, cache_jwk_set=False, timeout=settings.timeout_s)
    return {key.key_id: key for key in client.get_signing_keys() if key.key_id}


def _discovered(settings: OpenId) -> str:
    """Return the address of the keys that the provider's discovery document names (OpenID Connect Discovery 1.0)."""
    import urllib.request  # noqa: PLC0415 (only services that check tokens need it)

    place = settings.issuer.rstrip("/") + DISCOVERY
    with urllib.request.urlopen(place, timeout=settings.timeout_s) as answer:  # noqa: S310 (https, or this machine)
        document = msgspec.json.decode(answer.read(2**20))
    if document.get("issuer") != settings.issuer:
        message = f"{place} speaks for {document.get('issuer')}"
        raise ValueError(message)
    address = str(document["jwks_uri"])
    _require_safe(address)
    return address


def _key_id(token: str) -> str:
    import jwt  # noqa: PLC0415 (as above)

    try:
        name = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, ValueError) as error:
        message = "This is no token."
        raise RefusedCallerError(message) from error
    if not isinstance(name, str):
        message = "The token does not say with which key it is signed."
        raise RefusedCallerError(message)
    return name


def _words(error: Exception) -> str:
    """Return why a token is refused, in our own words: PyJWT's may repeat what the caller sent."""
    return _REFUSALS.get(type(error).__name__, "The token is not good here.")


_REFUSALS: Final = {
    "ExpiredSignatureError": "The token has expired.",
    "ImmatureSignatureError": "The token is not valid yet.",
    "InvalidAudienceError": "The token is for another audience.",
    "InvalidIssuerError": "The token is of another issuer.",
    "InvalidAlgorithmError": "The token is signed in a way that is not accepted here.",
    "InvalidSignatureError": "The signature of the token is wrong.",
    "MissingRequiredClaimError": "The token lacks exp, iss or aud.",
}


def _require_safe(address: str) -> None:
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise InvalidFileError(
            f"“{address}” is not an address that can vouch for anybody", why="It must be https.", hint="https://…"
        )
