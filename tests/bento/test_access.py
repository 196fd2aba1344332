# ruff: noqa: ANN401, ASYNC240 (tokens may hold anything; a test may wait for its files)
"""Who may ask: keys and tokens that are good, and everything else, which is not."""

import asyncio
import base64
import hmac
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath_bento.access import KEYS_FILE_VARIABLE, KEYS_VARIABLE, OPEN, Access, ApiKeys
from towpath_bento.asgi import Answer, Receive, Scope, Send, reply
from towpath_bento.declared import needed_libraries
from towpath_bento.doors import complete
from towpath_bento.openid import OpenId
from towpath_gitops.errors import InvalidFileError, NotFoundError

KEY, NEXT_KEY = "3f9a6c1d5e7b8042aa17", "77c0ffee12d94be0a1b2"
AUDIENCE = "https://models.example.org/tiny"
SIGNER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


async def interface(_: Scope, __: Receive, send: Send) -> None:
    """Answer everybody."""
    await reply(send, Answer(b'"predicted"'))


def client(access: Access, *, tells: bool = False) -> httpx.AsyncClient:
    """Return a client of an interface behind checks."""
    guarded = access.guard(interface, "tiny", tells=tells)
    guarded.load()
    return httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://tiny")  # type: ignore[arg-type]  # the same protocol under other names


def ask(access: Access, *requests: tuple[str, dict[str, str]], tells: bool = False) -> list[httpx.Response]:
    """Ask with headers, one request after the other."""

    async def scenario() -> list[httpx.Response]:
        async with client(access, tells=tells) as asking:
            return [await asking.get(path, headers=headers) for path, headers in requests]

    return asyncio.run(scenario())


def statuses(access: Access, *headers: dict[str, str]) -> list[int]:
    """Return how requests with these headers are answered."""
    return [answer.status_code for answer in ask(access, *(("/v1/predict", each) for each in headers))]


def bearer(credential: str) -> dict[str, str]:
    """Return the header that shows a credential."""
    return {"authorization": f"Bearer {credential}"}


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file with one key."""
    path = tmp_path / "keys"
    path.write_text(f"# the first\n{KEY}\n")
    return path


def test_a_key_opens_and_nothing_else_does(keys: Path) -> None:
    """In either header; without one, or with half of one, the answer is a problem document that says how to ask."""
    access = Access(keys=ApiKeys(file=keys))
    good = {"x-api-key": KEY}, bearer(KEY), {"authorization": f"bearer  {KEY}"}
    bad = {}, {"x-api-key": ""}, {"x-api-key": KEY[:-1]}, bearer(KEY + "0"), {"authorization": f"Basic {KEY}"}
    assert statuses(access, *good) == [200] * 3
    assert statuses(access, *bad) == [401] * 5
    nameless, wrong = ask(access, ("/v1/predict", {}), ("/v1/predict", bearer("x" * 40)))
    assert nameless.headers["www-authenticate"] == 'Bearer realm="tiny"'
    assert nameless.headers["content-type"] == "application/problem+json"
    assert "x-api-key" in nameless.json()["detail"]
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]


def test_health_and_readiness_stay_open(keys: Path) -> None:
    """A supervisor needs no key; everything else does, unless it is named."""
    access = Access(keys=ApiKeys(file=keys), also_open=("/metrics",))
    paths = [*sorted(OPEN), "/metrics", "/version", "/openapi.json", "/invocations", "/livez/", "//livez", "/LIVEZ"]
    found = {
        path: answer.status_code for path, answer in zip(paths, ask(access, *((p, {}) for p in paths)), strict=True)
    }
    assert [path for path, status in found.items() if status == 200] == [*sorted(OPEN), "/metrics"]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=60))
def test_no_text_is_a_key_but_the_key(keys: Path, text: str) -> None:
    """Whatever the bytes of a header, it is answered, and never with a prediction."""
    raw = {"x-api-key": text.encode("latin-1")}
    assert statuses(Access(keys=ApiKeys(file=keys)), raw) == [200 if text == KEY else 401]  # type: ignore[arg-type]  # bytes, too


def test_keys_are_changed_without_a_moment_of_silence(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old and new count together, a file is read again when it changes, and a broken one locks nobody out."""
    now = [1000.0]
    monkeypatch.setattr("towpath_bento.access.time.monotonic", lambda: now[0])

    async def scenario() -> None:
        async with client(Access(keys=ApiKeys(file=keys))) as asking:

            async def opens(text: str) -> list[int]:
                keys.write_text(text)
                os.utime(keys, ns=(int(now[0] * 1e9),) * 2)
                now[0] += 3
                tried = [await asking.get("/v1/predict", headers={"x-api-key": each}) for each in (KEY, NEXT_KEY)]
                return [answer.status_code for answer in tried]

            assert await opens(f"{KEY}\n") == [200, 401]
            assert await opens(f"{KEY}\n{NEXT_KEY}\n") == [200, 200]
            assert await opens("") == [200, 200]
            assert await opens(f"{NEXT_KEY}\n") == [401, 200]

    asyncio.run(scenario())


def test_a_service_that_asks_for_keys_needs_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, one that could be guessed, or a file that is not there: it does not start, and says what would help."""
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    with pytest.raises(NotFoundError) as caught:
        client(Access(keys=ApiKeys()))
    assert "openssl rand" in caught.value.hint
    monkeypatch.setenv(KEYS_VARIABLE, f"{KEY},short")
    with pytest.raises(InvalidFileError, match="shorter") as guessed:
        client(Access(keys=ApiKeys()))
    assert "short" not in str(guessed.value).replace("shorter", "")
    monkeypatch.setenv(KEYS_FILE_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(InvalidFileError, match="cannot be read"):
        client(Access(keys=ApiKeys()))
    with pytest.raises(InvalidFileError, match="neither"):
        Access()


def test_keys_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several, separated by commas."""
    monkeypatch.setenv(KEYS_VARIABLE, f"{KEY}, {NEXT_KEY}")
    assert statuses(Access(keys=ApiKeys()), {"x-api-key": KEY}, {"x-api-key": NEXT_KEY}, {}) == [200, 200, 401]


# --- tokens -----------------------------------------------------------------------------------------------------------


def _algorithm(key: Any) -> Any:
    return jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm


class Provider:
    """An OpenID Connect provider on loopback: its discovery document and its keys, and how often it was asked."""

    def __init__(self) -> None:
        """Begin to answer."""
        self.asked: list[str] = []
        self.keys = {"one": SIGNER, "curve": CURVE}
        self.away = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                known = {"/keys": provider.published, "/.well-known/openid-configuration": provider.described}
                self.send_response(503 if provider.away else 200)
                self.end_headers()
                self.wfile.write(json.dumps(known[self.path]()).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def described(self) -> dict[str, str]:
        """Return the discovery document."""
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}

    def published(self) -> dict[str, Any]:
        """Return the public halves of the keys."""
        return {
            "keys": [
                _algorithm(key).to_jwk(key.public_key(), as_dict=True) | {"kid": name}
                for name, key in self.keys.items()
            ]
        }

    def token(self, *, key: Any = SIGNER, kid: str | None = "one", algorithm: str = "RS256", **claims: Any) -> str:
        """Return a token of this provider; claims that are None are left out."""
        whole = {"iss": self.issuer, "aud": AUDIENCE, "exp": time.time() + 300, "sub": "batch"} | claims
        said = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid} if kid else {})


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that answers."""
    found = Provider()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def access(provider: Provider) -> Access:
    """Access by its tokens."""
    return Access(tokens=OpenId(issuer=provider.issuer, audience=AUDIENCE))


def test_tokens_of_the_provider_for_this_audience_open(provider: Provider, access: Access) -> None:
    """Of either kind of key; the keys are found by discovery, and fetched once for all of them."""
    tokens = [provider.token(), provider.token(key=CURVE, kid="curve", algorithm="ES256"), provider.token(sub="other")]
    assert statuses(access, *map(bearer, tokens)) == [200, 200, 200]
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


def _under(provider: Provider, algorithm: str) -> str:
    """Return the first two parts of a good token, which says that it is signed otherwise."""
    head, body, _ = provider.token().split(".")
    forged = json.loads(base64.urlsafe_b64decode(head + "==")) | {"alg": algorithm}
    return f"{_encoded(json.dumps(forged).encode())}.{body}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(provider: Provider) -> str:
    return f"{_under(provider, 'none')}."


def _by_public_half(provider: Provider) -> str:
    """Sign with what everybody knows: the classic confusion of a public key with a shared secret."""
    secret = json.dumps(provider.published()["keys"][0]).encode()
    signed = _under(provider, "HS256")
    return f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda p: p.token(aud="https://models.example.org/other"), "another audience"),
        (lambda p: p.token(aud=None), "lacks"),
        (lambda p: p.token(iss="https://evil.example.org"), "another issuer"),
        (lambda p: p.token(exp=time.time() - 120), "expired"),
        (lambda p: p.token(exp=None), "lacks"),
        (lambda p: p.token(nbf=time.time() + 600), "not valid yet"),
        (lambda p: p.token(key=STRANGER), "signature"),
        (lambda p: p.token(key=STRANGER, kid="stranger"), "does not publish"),
        (lambda p: p.token(kid=None), "with which key"),
        (_unsigned, "not accepted"),
        (_by_public_half, "not accepted"),
        (lambda _: "x" * 9000, "too long"),
        (lambda _: "a.b.c", "no token"),
        (lambda _: f"{_encoded(b'[' * 6000)}.b.c", "no token"),
        (lambda _: f"{_encoded(b'1' * 6000)}.b.c", "no token"),
        (lambda p: p.token(exp="soon"), "not good"),
    ],
)
def test_a_token_that_is_not_good_is_refused(
    provider: Provider, access: Access, forge: Callable[[Provider], str], words: str
) -> None:
    """Another audience, issuer or time; no signature, a stranger's, or one by the public half: each is told."""
    (answer,) = ask(access, ("/v1/predict", bearer(forge(provider))))
    assert answer.status_code == 401
    assert words in answer.json()["detail"]
    assert f'error_description="{answer.json()["detail"]}"' in answer.headers["www-authenticate"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), other=st.sampled_from("Aa0-_.="))
def test_no_altered_token_opens(provider: Provider, access: Access, share: float, other: str) -> None:
    """Any character of a good token put in another's place: refused, unless it stands for the same; never our error."""
    token = provider.token()
    place = int(share * len(token))
    altered = token[:place] + other + token[place + 1 :]
    pieces = token.split("."), altered.split(".")
    same = [[_bytes(piece) for piece in each] for each in pieces]
    (status,) = statuses(access, bearer(altered))
    assert status in ({200, 401} if same[0] == same[1] else {401})  # libraries differ in how strictly they read


def _bytes(piece: str) -> bytes | str:
    """Return what a part of a token stands for: the last character holds bits that count for nothing."""
    try:
        return base64.urlsafe_b64decode(piece + "==")
    except ValueError:
        return piece


def test_invented_keys_do_not_make_the_provider_be_asked(provider: Provider, access: Access) -> None:
    """A caller who names a new key with every request gets refusals, and the provider no more than one question."""
    tokens = [provider.token(key=STRANGER, kid=f"invented-{number}") for number in range(20)]
    assert statuses(access, *map(bearer, tokens)) == [401] * 20
    assert provider.asked.count("/keys") == 1


def test_a_provider_that_is_away_is_no_refusal(provider: Provider, access: Access) -> None:
    """Nobody can be judged before its keys are known: 503 with Retry-After, not 401; a service starts all the same."""
    provider.away = True
    (answer,) = ask(access, ("/v1/predict", bearer(provider.token())))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_keys_that_are_known_outlast_a_provider_that_is_away(provider: Provider) -> None:
    """A token that was good stays good while the provider is restarted; its key is not forgotten."""
    access = Access(tokens=OpenId(issuer=provider.issuer, audience=AUDIENCE, refresh_s=0.0))

    async def scenario() -> None:
        async with client(access) as asking:
            first = await asking.get("/v1/predict", headers=bearer(provider.token()))
            provider.away = True
            second = await asking.get("/v1/predict", headers=bearer(provider.token(sub="another")))
            assert [first.status_code, second.status_code] == [200, 200]

    asyncio.run(scenario())


def test_either_a_key_or_a_token_will_do(provider: Provider, keys: Path) -> None:
    """Where both are asked for, callers of both kinds come in, and a key in its own header is no token."""
    both = Access(keys=ApiKeys(file=keys), tokens=OpenId(issuer=provider.issuer, audience=AUDIENCE))
    token = provider.token()
    found = statuses(both, {"x-api-key": KEY}, bearer(KEY), bearer(token), {"x-api-key": token}, bearer("x" * 30))
    assert found == [200, 200, 200, 401, 401]


@pytest.mark.parametrize(
    "fields",
    [
        {"issuer": "http://issuer.example.org"},
        {"keys": "file:///etc/passwd"},
        {"algorithms": ("RS256", "none")},
        {"algorithms": ("HS256",)},
        {"algorithms": ()},
        {"audience": ""},
    ],
)
def test_settings_that_would_be_no_check_are_refused(fields: dict[str, Any]) -> None:
    """An address without encryption, no audience, or a signature that whoever checks it could make."""
    good = {"issuer": "https://issuer.example.org", "audience": AUDIENCE}
    assert OpenId(**good)
    with pytest.raises(InvalidFileError):
        OpenId(**(good | fields))


def test_a_service_packs_what_its_checks_need(keys: Path, tmp_path: Path) -> None:
    """Tokens bring PyJWT into its image, keys bring nothing."""
    (tmp_path / "keyed.py").write_text(
        "from towpath_bento.access import Access, ApiKeys\nfrom towpath_bento.server import model_server\n"
        f"service = model_server('tiny', access=Access(keys=ApiKeys(file={str(keys)!r})))\n"
    )
    (tmp_path / "trusting.py").write_text(
        "from towpath_bento.access import Access\nfrom towpath_bento.openid import OpenId\n"
        "from towpath_bento.server import model_server\n"
        "tokens = OpenId(issuer='https://issuer.example.org', audience='tiny')\n"
        "service = model_server('tiny', access=Access(tokens=tokens))\n"
    )
    assert needed_libraries(tmp_path / "keyed.py") == ()
    assert needed_libraries(tmp_path / "trusting.py") == ("pyjwt[crypto]",)


# --- a service --------------------------------------------------------------------------------------------------------


def test_a_service_that_really_runs_asks_for_its_key(
    launch: Callable[..., Any], tiny: Callable[..., Any], keys: Path, row: dict[str, Any]
) -> None:
    """Every worker refuses a prediction without the key, before its body is read, and gives one with it."""
    access = f"access=Access(keys=ApiKeys(file={str(keys)!r}), also_open=('/version',))"
    service = launch(settings=access, champion=tiny())
    request = {"rows": [row]}
    assert service.client.get("/readyz").status_code == 200
    assert service.client.post("/v1/predict", json=request).status_code == 401
    assert service.client.post("/invocations", content=b"x" * 2_000_000).status_code == 401
    assert service.client.get("/metrics").status_code == 401
    assert service.client.post("/v1/predict", json=request, headers={"x-api-key": KEY}).status_code == 200


def test_a_refusal_can_be_found_again(keys: Path) -> None:
    """It carries the id that the caller gave the request, or a fresh one, like every other answer."""
    access = Access(keys=ApiKeys(file=keys))
    given, first, second = ask(
        access, ("/v1/predict", {"x-request-id": "mine-1"}), ("/version", {}), ("/version", {"x-request-id": "not one"})
    )
    assert [each.status_code for each in (given, first, second)] == [401] * 3
    assert given.headers["x-request-id"] == "mine-1"
    assert len({first.headers["x-request-id"], second.headers["x-request-id"], "not one"}) == 3


def test_a_refusal_has_a_line_in_the_log(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As every other answer has, where the owner wants one for each request; who was refused is seen by the id."""
    caplog.set_level("INFO", logger="towpath.access")
    request = ("/v1/predict", {"x-request-id": "mine-1", "x-api-key": "0" * 30})
    ask(Access(keys=ApiKeys(file=keys)), request)
    assert not caplog.records
    ask(Access(keys=ApiKeys(file=keys)), request, tells=True)
    (record,) = caplog.records
    told = vars(record)["fields"]
    assert record.message == "GET /v1/predict 401"
    assert (told["path"], told["status"], told["x-request-id"]) == ("/v1/predict", 401, "mine-1")
    assert told["took_ms"] >= 0
    assert "0" * 30 not in str(told)


def test_the_contract_says_who_may_ask(keys: Path) -> None:
    """Each way is a scheme of its own and enough; what is open needs none; everybody else may be answered 401."""
    tokens = OpenId(issuer="https://login.example.org/", audience=AUDIENCE)
    doors = Access(keys=ApiKeys(file=keys), tokens=tokens, also_open=("/metrics",)).guard(interface, "tiny").doors
    said = {"responses": {"200": {"description": "yes"}}}
    paths = {path: {"get": said} for path in ("/version", "/metrics", "/livez")}
    made = complete({"paths": paths, "components": {}}, doors)
    schemes = made["components"]["securitySchemes"]
    assert {name: each["type"] for name, each in schemes.items()} == {
        "key": "apiKey",
        "bearer": "http",
        "token": "openIdConnect",
    }
    assert schemes["token"]["openIdConnectUrl"] == "https://login.example.org/.well-known/openid-configuration"
    guarded = made["paths"].pop("/version")["get"]
    assert guarded["security"] == [{"key": []}, {"bearer": []}, {"token": []}]
    assert set(guarded["responses"]) == {"200", "401", "503"}
    assert all("x-request-id" in each["headers"] for each in guarded["responses"].values())
    assert all(each["get"].keys() == {"responses"} for each in made["paths"].values())
    assert "securitySchemes" not in complete({"paths": paths, "components": {}}, None)["components"]
