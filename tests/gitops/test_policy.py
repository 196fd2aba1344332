"""`Policy`: what a platform team may write, and what it is told when it cannot be meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_gitops.errors import InvalidFileError
from towpath_gitops.records.parsing import dump_yaml, parse_yaml
from towpath_gitops.records.policy import GitHubSettings, KeylessSigning, KeySigning, LocalForgeSettings, Policy

SMALLEST = """\
apiVersion: towpath/v1
kind: Policy
environments:
  - name: production
"""
FREEZE = "    freeze:\n      - {name: Christmas, timezone: Europe/Berlin, %s}\n"


def _policy(more: str = "") -> Policy:
    return parse_yaml(SMALLEST + more, Policy, source="policy.yaml")


def test_a_short_policy_has_the_careful_defaults() -> None:
    """One approval, pull requests in the remote itself, no way around, no freeze, nobody's signature."""
    policy = _policy()
    assert policy.forge == LocalForgeSettings()
    assert (policy.environments[0].approvals, policy.rollback.approvals) == (1, 1)
    assert (policy.hotfix, policy.signing) == (None, None)
    assert (policy.environments[0].freeze, policy.environments[0].guard) == ((), None)


def test_a_freeze_has_dates_or_a_cron() -> None:
    """Both forms are read, in a stated time zone."""
    dates = _policy(FREEZE % "from: 2026-12-20, until: 2027-01-04T06:00")
    assert str(dates.environments[0].freeze[0].since) == "2026-12-20 00:00:00"
    cron = _policy(FREEZE % "cron: 0 17 * * 5, lasts: 63h")
    assert cron.environments[0].freeze[0].cron == "0 17 * * 5"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("from: 2026-12-20", "either"),
        ("cron: 0 17 * * 5", "either"),
        ("from: 2026-12-20, until: 2027-01-04, cron: 0 17 * * 5, lasts: 1h", "either"),
        ("from: 2027-01-04, until: 2026-12-20", "after"),
        ("from: 2026-12-20, until: 2026-12-20", "after"),
        ("cron: every friday, lasts: 1h", "five cron fields"),
        ("cron: 0 0 17 * * 5, lasts: 1h", "five cron fields"),
        ("cron: 0 17 32 * *, lasts: 1h", "Bad day-of-month"),
        ("cron: 0 17 * * 5, lasts: 0s", "freezes nothing"),
    ],
)
def test_a_freeze_that_cannot_be_meant_is_refused(words: str, told: str) -> None:
    """Half a freeze, both forms at once, an end before the beginning, a cron that is none."""
    with pytest.raises(InvalidFileError, match=told):
        _policy(FREEZE % words)


def test_a_time_zone_must_exist() -> None:
    """The error says where names come from."""
    with pytest.raises(InvalidFileError, match="IANA"):
        _policy((FREEZE % "cron: 0 17 * * 5, lasts: 63h").replace("Europe/Berlin", "Europe/Atlantis"))


def test_a_hotfix_needs_two_people() -> None:
    """The way around the environments before never asks for fewer than two approvals."""
    with pytest.raises(InvalidFileError, match="greater than or equal to 2"):
        _policy("hotfix: {approvals: 1}\n")


def test_a_guard_that_can_never_act_is_refused() -> None:
    """Four bad windows of the last three cannot be."""
    with pytest.raises(InvalidFileError, match="never be reached"):
        _policy("    guard: {bad: 4, of: 3}\n")


def test_signatures_come_from_keys_or_from_an_identity() -> None:
    """Both methods are read; unless it says otherwise, what is unsigned is refused."""
    keys = _policy("signing: {method: key, keys: [gitops/keys/release.pem]}\n").signing
    assert isinstance(keys, KeySigning)
    keyless = _policy("signing: {method: keyless, identity: ci@acme.example, issuer: https://acme.example}\n").signing
    assert isinstance(keyless, KeylessSigning)
    assert (keys.unsigned, keyless.unsigned) == ("refuse", "refuse")


def test_github_is_named_by_owner_and_repository() -> None:
    """The address of the public API is understood; anything that is no owner/name is refused."""
    forge = _policy("forge: {kind: github, repository: acme/flights}\n").forge
    assert forge == GitHubSettings(kind="github", repository="acme/flights", api="https://api.github.com")
    with pytest.raises(InvalidFileError, match=r"forge\.github\.repository"):
        _policy("forge: {kind: github, repository: acme/flights/../other}\n")


@given(name=st.text(min_size=1, max_size=40), cron=st.text(max_size=12), zone=st.text(max_size=12))
def test_hostile_words_in_a_policy_are_refused_or_kept_to_the_letter(name: str, cron: str, zone: str) -> None:
    """Written as YAML and read again, what was accepted is the same policy with no added key."""
    for freeze in (
        {"name": name, "timezone": "UTC", "cron": "0 17 * * 5", "lasts": "1h"},
        {"name": "x", "timezone": zone, "cron": cron, "lasts": "1h"},
    ):
        environment = {"name": "production", "freeze": [freeze]}
        document = {"apiVersion": "towpath/v1", "kind": "Policy", "environments": [environment]}
        text = dump_yaml(document)
        try:
            policy = parse_yaml(text, Policy, source="policy.yaml")
        except InvalidFileError:
            continue
        (kept,) = policy.environments[0].freeze
        assert (kept.name, kept.timezone, kept.cron) == (freeze["name"], freeze["timezone"], freeze["cron"])
        assert policy.hotfix is None
