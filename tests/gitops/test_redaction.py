"""What is a secret, what only looks like one, and what is neither."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.errors import RefusedError, TowpathError
from towpath_gitops.redaction import redacted

TOKEN = "gh" + "p_" + "0123456789abcdefABCDEF"  # in two parts, so that no scanner takes this file for a leak


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fatal: https://me:s3cret@host/x", "fatal: https://…@host/x"),
        ("https://me:p@ss@host/x and https://tok3n@host", "https://…@host/x and https://…@host"),
        ("GET http://host/?password=hunter2&page=3", "GET http://host/?password=…&page=3"),
        (f"pushed with {TOKEN}", "pushed with …"),
        ("Authorization: Bearer abcdef.123456", "Authorization: Bearer …"),
        ("https://hooks.slack.com/services/T0/B0/abcdefgh", "https://hooks.slack.com/services/…"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nend", "…\nend"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "…"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    """Users of addresses, passwords of queries, tokens by their form, private keys even when they are cut off."""
    assert redacted(text, {}) == shown


@pytest.mark.parametrize(
    "text",
    [
        "grace@example.org approved https://host/x?page=2",
        "sqlite:///home/ada/mlflow.db and ada@example.org",
        "sha256:9c1f" + "0" * 60,
        "gitops/keys/ada.pub is a public key",
        "the bearer of news",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    """Email addresses, digests, paths and ordinary words are not touched."""
    assert redacted(text, {}) == text


def test_secrets_of_the_environment_are_hidden_wherever_they_appear() -> None:
    """By the names of their variables; a file that holds a token, a plain word and a short value are no secrets."""
    environment = {
        "MLFLOW_TRACKING_PASSWORD": "c0rrect horse",
        "DATABASE_URL": "postgresql://me:p%40ss1word@db/x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
        "WORD_PASSWORD": "production",
        "PIN_PASSWORD": "0000",
    }
    text = "c0rrect horse, p@ss1word, p%40ss1word, /var/run/token, production, 0000"
    assert redacted(text, environment) == "…, …, …, /var/run/token, production, 0000"


def test_an_error_never_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes one need not think of it: the beats are clean before anybody reads them."""
    monkeypatch.setenv("GITHUB_TOKEN", "t0psecret-value")
    error: TowpathError = RefusedError("no t0psecret-value", why="https://a:b@c/", hint="use t0psecret-value")
    assert "t0psecret" not in f"{error} {error.args} {error!r}"
    assert "a:b" not in str(error)


@given(st.text(max_size=200), st.text(alphabet="abcXYZ019-_ @:/?=", min_size=6, max_size=30))
def test_no_secret_survives_and_hiding_twice_changes_nothing(around: str, secret: str) -> None:
    """Whatever surrounds it."""
    secret = f"Z9{secret}"
    shown = redacted(f"{around}{secret}{around}", {"A_TOKEN": secret})
    assert secret not in shown
    assert redacted(shown, {"A_TOKEN": secret}) == shown
