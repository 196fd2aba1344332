"""Callers whose token is not good: for another audience, out of date, or signed by nobody."""

import asyncio
import base64
import json
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final

from towpath_ci.drills.base import Drill, Refusal
from towpath_ci.drills.stage import Stage

AUDIENCE: Final = "https://models.example.org/canal"
_KEY_BITS: Final = 2048


class TokenDrill(Drill):
    """What drills about tokens share: a provider on loopback, and a service's own check of what it signs."""

    gate: ClassVar[str] = "access"

    @abstractmethod
    def forge(self, provider: "Provider") -> str:
        """Return the token that must be refused."""

    def good(self, stage: Stage) -> Sequence[Refusal]:  # noqa: ARG002 (no repository is needed)
        """Ask with a token that is good."""
        with Provider.open() as provider:
            return _refusals(provider, provider.token())

    def bad(self, stage: Stage) -> Sequence[Refusal]:  # noqa: ARG002 (as above)
        """Ask with the other."""
        with Provider.open() as provider:
            return _refusals(provider, self.forge(provider))


class TokenForAnother(TokenDrill):
    """A token for another service does not open this one."""

    injected = "a token of the right provider, for another audience"

    def forge(self, provider: "Provider") -> str:
        """Name another audience."""
        return provider.token(aud="https://models.example.org/other")


class ExpiredToken(TokenDrill):
    """A token whose time has run out opens nothing."""

    injected = "a token that expired ten minutes ago"

    def forge(self, provider: "Provider") -> str:
        """Let it expire."""
        return provider.token(exp=int(time.time()) - 600)


class UnsignedToken(TokenDrill):
    """A token that says it needs no signature is not believed."""

    injected = "the claims of a good token under `alg: none`, without a signature"

    def forge(self, provider: "Provider") -> str:
        """Take the signature away."""
        head, claims, _ = provider.token().split(".")
        said = json.loads(base64.urlsafe_b64decode(head + "==")) | {"alg": "none"}
        return f"{base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b'=').decode()}.{claims}."


class Provider:
    """An OpenID Connect provider: one key, published on loopback."""

    def __init__(self, issuer: str) -> None:
        """Make the key."""
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 (only these drills need it)

        self.issuer = issuer
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)

    @classmethod
    @contextmanager
    def open(cls) -> "Iterator[Provider]":
        """Publish the key for the time of the block."""

        class Handler(BaseHTTPRequestHandler):
            published: ClassVar[bytes] = b""

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.published)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        provider = cls(f"http://127.0.0.1:{server.server_port}")
        Handler.published = provider.published()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield provider
        finally:
            server.shutdown()
            server.server_close()

    def published(self) -> bytes:
        """Return the public half of the key, as providers publish it (RFC 7517)."""
        from jwt.algorithms import RSAAlgorithm  # noqa: PLC0415 (as above)

        public: dict[str, Any] = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [public | {"kid": "drill"}]}).encode()

    def token(self, **claims: object) -> str:
        """Return a token for the drills' audience, with other claims where they are given."""
        import jwt  # noqa: PLC0415 (as above)

        whole = {"iss": self.issuer, "aud": AUDIENCE, "exp": int(time.time()) + 300} | claims
        return jwt.encode(whole, self._key, algorithm="RS256", headers={"kid": "drill"})


def _refusals(provider: Provider, token: str) -> Sequence[Refusal]:
    """Ask the check of a service about a token."""
    from towpath_bento.access import RefusedCallerError  # noqa: PLC0415 (as above)
    from towpath_bento.openid import OpenId  # noqa: PLC0415 (as above)

    check = OpenId(issuer=provider.issuer, audience=AUDIENCE, keys=f"{provider.issuer}/keys").check()
    check.load()
    try:
        asyncio.run(check.admit(token))
    except RefusedCallerError as refusal:
        return [Refusal(TokenDrill.gate, str(refusal))]
    return []
