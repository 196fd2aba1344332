"""Answers that would break out of YAML, paths, Make or a shell are refused, and the refusal says what to write."""

import re
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import SandboxedEnvironment
from jinja2_ansible_filters import AnsibleCoreFiltersExtension

from towpath_gitops.records.policy import GitHubSettings

Render = Callable[..., Path]
QUESTIONS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "copier.yml").read_text())
LOCK = Path(__file__).parents[2] / "requirements.txt"
JINJA = SandboxedEnvironment(extensions=[AnsibleCoreFiltersExtension])
FIXED = {
    "reserved_names": yaml.safe_load(QUESTIONS["reserved_names"]["default"]),
    "yaml_words": yaml.safe_load(QUESTIONS["yaml_words"]["default"]),
    "environment_names": ["staging", "production"],
    "forge": "github",
}

ANYWHERE = [
    "", " ", "a\nb", "a\n", "a\rb", "a\x00", "../etc", "/etc/passwd", "a/../../b", "$(touch x)", "`touch x`", "a;b",
    "a|b", "a&&b", "{{ 7*7 }}", "{% raw %}", "${{ secrets.X }}", "a: b", "a #b", "&a", "*a",
    "!!python/object:os.system", "a\tb", "[a", "{a: b}", "'a", '"a', "\\", "a\u2028b", "é" * 300,
    "%TAG", "-", "~", "a" * 300,
]  # fmt: skip
CORPUS = {
    "model": [*ANYWHERE, "Flights", "1a", "true", "null", "on", "a.b", "a b"],
    "package": [*ANYWHERE, "a-b", "flows", "class", "json", "towpath", "_a", "1a", "click", "statistics"],
    "description": [
        "", "a\nb", "a\n", "a\x00", "{{ 7*7 }}", "${{ secrets.X }}", "`id`", "<script>", 'a"b', "\\", "a\u2028b",
        "[a](b)",
    ],
    "environments": [*ANYWHERE, "a,a", "a,,b", ",a", "A", "yes", "a, no", "a.b", "a_b", ",".join("abcdefghi")],
    "forge": ["gitlab", "a: b"],
    "github_repository": [
        *ANYWHERE, "acme", "/", "acme/", "/flights", "a/b/c", "-a/b", "a_b/c", "a/b c", "acme/..", "acme/.",
        "a/b\n- evil", "a/b, api: http://x", "a/b} #", f"{'a' * 40}/b", f"a/{'b' * 101}",
    ],
    "approvers": [
        *ANYWHERE, "lee", "@", "a@b", "@a @b\n* @evil", "a@b.c,d@e.f", "@a/b/c", "@a  @b", "-@b.c", "lee@example.com",
        "@lee lee@example.com", "@acme/risk",
    ],
    "schedule": [*ANYWHERE, "* * * *", "* * * * * *", "@daily", "0 5 * * MON", '* * * * *"', "* * * * *\n"],
    "port": [0, 80, -1, 1023, 65_535, 65_536, 10**9],
    "frameworks": [[], ["catboost"], ["xgboost", "a: b"]],
    "starting_point": ["flight", "../x"],
    "work_pool": ["docker", "process\n  evil: 1"],
    "clone_url": [
        *ANYWHERE, "http://git.example.com/a.git", "https://", "https://lee:secret@example.com/a.git", "https://a/../b",
        "https://a.com/b c", "https://a.com/b?c=d", 'https://a.com/"}', "git@github.com:a/b.git",
    ],
}  # fmt: skip


def refusal(question: str, answer: object) -> str:
    """Return what a question's validator says to an answer; empty when it is accepted."""
    template = JINJA.from_string(QUESTIONS[question]["validator"])
    return template.render(FIXED | {question: answer}).strip()


def test_no_package_hides_a_module_of_python_or_of_a_library() -> None:
    """A model may be called click or statistics; its package is then called otherwise, for `src/` comes first."""
    locked = {_plain(line.partition("==")[0]) for line in LOCK.read_text().splitlines() if re.match(r"\w.*==", line)}
    installed = {name for name, of in packages_distributions().items() if locked & set(map(_plain, of))}
    named = {name for name in sys.stdlib_module_names | installed if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name)}
    assert named - set(FIXED["reserved_names"]) == set(), "add these to reserved_names in copier.yml"
    default = JINJA.from_string(QUESTIONS["package"]["default"])
    for model, package in {"click": "click_model", "late-boats": "late_boats", "requests": "requests_model"}.items():
        assert default.render(FIXED | {"model": model}) == package
        assert refusal("package", package) == ""


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("question", [name for name in CORPUS if "validator" in QUESTIONS[name]])
def test_hostile_answers_are_refused_in_a_sentence(question: str) -> None:
    """Each answer of the corpus is refused, by words that say what would be accepted."""
    accepted = [answer for answer in CORPUS[question] if not refusal(question, answer)]
    expected = {"frameworks": [["catboost"], ["xgboost", "a: b"]]}.get(question, [])  # refused by its choices, below
    assert accepted == expected
    assert all(
        len(refusal(question, answer).splitlines()) == 1 for answer in CORPUS[question] if answer not in expected
    )


@pytest.mark.parametrize(
    ("question", "answer"), [(name, answers[-1]) for name, answers in CORPUS.items()], ids=list(CORPUS)
)
def test_nothing_is_written_for_a_refused_answer(question: str, answer: object, render: Render, tmp_path: Path) -> None:
    """Copier stops before the first file."""
    with pytest.raises(ValueError, match=rf"{question}|[Cc]hoice"):
        render(tmp_path / "r", {"forge": "github", "work_pool": "ecs", question: answer})
    assert not (tmp_path / "r").exists()


# Strings near the border: mostly of characters that some answer may hold.
NEAR = st.text(alphabet="ab1-_ ,@./*:#'\"\\\n{}$%\x00é", max_size=30) | st.text(max_size=20)
SAFE = re.compile(r"[A-Za-z0-9@/_.,+%* -]*")


@pytest.mark.parametrize("question", ["model", "package", "environments", "approvers", "schedule", "github_repository"])
@given(answer=NEAR)
def test_what_is_accepted_needs_no_quoting(question: str, answer: str) -> None:
    """An accepted answer holds no character with a meaning to a shell, to Make, to jinja or to a path's parent."""
    if not refusal(question, answer):
        assert SAFE.fullmatch(answer)
        assert ".." not in answer.split("/")


@given(answer=NEAR | st.from_regex(r"[a-zA-Z0-9_.-]{1,5}/[a-zA-Z0-9_.-]{1,5}", fullmatch=True))
def test_a_repository_is_what_the_policy_takes_for_one(answer: str) -> None:
    """What is accepted is a valid `forge` of the policy, and reads the same in YAML's short form."""
    if not refusal("github_repository", answer):
        written = yaml.safe_load(f"{{kind: github, repository: {answer}}}")
        assert GitHubSettings.model_validate(written).repository == answer


@given(
    approvers=NEAR | st.from_regex(r"@?[a-z]{1,3}(@[a-z]\.[a-z])?( @?[a-z]{1,3}(@[a-z]\.[a-z])?){0,2}", fullmatch=True)
)
def test_on_github_only_handles_approve(approvers: str) -> None:
    """An approval there comes from a handle, and a workflow's token may not read who is in a team."""
    if not refusal("approvers", approvers):
        assert all(word.startswith("@") and "/" not in word for word in approvers.split(" "))


def test_elsewhere_an_address_approves() -> None:
    """With the local forge people are who git says they are."""
    template = JINJA.from_string(QUESTIONS["approvers"]["validator"])
    assert template.render(FIXED | {"forge": "local", "approvers": "lee@example.com @acme/risk"}).strip() == ""


@given(description=NEAR)
def test_an_accepted_description_survives_its_files(description: str) -> None:
    """An accepted description is one line that reads the same as a YAML or TOML string in double quotes."""
    if not refusal("description", description):
        assert yaml.safe_load(f'"{description}"').strip() == description.strip()
        assert len(description.splitlines()) == 1


def test_every_question_explains_itself_and_has_a_default() -> None:
    """What is asked has a sentence of help and a usable default: `--defaults` is enough."""
    asked = {name: q for name, q in QUESTIONS.items() if not name.startswith("_") and q.get("when") is not False}
    assert len([name for name, question in asked.items() if "when" not in question]) <= 11
    assert all("?" in question["help"] and question["default"] for question in asked.values())


def test_the_template_needs_no_trust() -> None:
    """There are no tasks, migrations or extensions, which Copier runs only when it is told to trust."""
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(QUESTIONS)
