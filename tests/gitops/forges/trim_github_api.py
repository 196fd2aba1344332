"""Trim GitHub's description of its API to what our client uses: `python trim_github_api.py FULL.json`.

FULL.json is package/generated/api.github.com.json of the npm package @octokit/openapi (MIT, see github_api.LICENSE).
Kept are the operations below with everything that they refer to; left out are words for people, examples, and all of
GitHub's own extensions, which check nothing.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TRIMMED: Final = Path(__file__).with_name("github_api.json")
_REPO: Final = "/repos/{owner}/{repo}"
USED: Final = {
    "/user": ("get",),
    "/orgs/{org}/teams/{team_slug}/members": ("get",),
    f"{_REPO}/activity": ("get",),
    f"{_REPO}/branches/{{branch}}/protection": ("get",),
    f"{_REPO}/check-runs": ("post",),
    f"{_REPO}/check-runs/{{check_run_id}}": ("patch",),
    f"{_REPO}/codeowners/errors": ("get",),
    f"{_REPO}/commits/{{ref}}/check-runs": ("get",),
    f"{_REPO}/commits/{{ref}}/statuses": ("get",),
    f"{_REPO}/deployments": ("get", "post"),
    f"{_REPO}/deployments/{{deployment_id}}/statuses": ("get", "post"),
    f"{_REPO}/environments": ("get",),
    f"{_REPO}/issues/comments/{{comment_id}}": ("patch", "delete"),
    f"{_REPO}/issues/{{issue_number}}/comments": ("get", "post"),
    f"{_REPO}/issues/{{issue_number}}/labels": ("put",),
    f"{_REPO}/pulls": ("get", "post"),
    f"{_REPO}/pulls/{{pull_number}}": ("get", "patch"),
    f"{_REPO}/pulls/{{pull_number}}/commits": ("get",),
    f"{_REPO}/pulls/{{pull_number}}/merge": ("put",),
    f"{_REPO}/pulls/{{pull_number}}/reviews": ("get", "post"),
    f"{_REPO}/rules/branches/{{branch}}": ("get",),
    f"{_REPO}/rulesets/{{ruleset_id}}": ("get",),
    f"{_REPO}/statuses/{{sha}}": ("post",),
}
_WORDS: Final = {"description", "summary", "title", "example", "examples", "externalDocs", "tags", "operationId"}
_NAMES: Final = {"properties", "paths", "schemas", "parameters", "responses", "headers"}  # their keys are names


def trim(full: dict[str, Any]) -> dict[str, Any]:
    """Return the description with the operations that are used and nothing that checks nothing."""
    paths = {path: {verb: full["paths"][path][verb] for verb in verbs} for path, verbs in USED.items()}
    trimmed: dict[str, Any] = {"openapi": full["openapi"], "paths": _plain(paths, names="paths"), "components": {}}
    todo = set(_references(trimmed["paths"]))
    while todo:
        kind, name = todo.pop()
        part = _plain({name: full["components"][kind][name]}, names=kind)[name]
        trimmed["components"].setdefault(kind, {})[name] = part
        todo |= {each for each in _references(part) if each[1] not in trimmed["components"].get(each[0], {})}
    for kind, parts in trimmed["components"].items():
        trimmed["components"][kind] = dict(sorted(parts.items()))
    licence = {"name": "MIT", "url": "https://spdx.org/licenses/MIT"}
    about = {"title": "GitHub's REST API, trimmed", "version": full["info"]["version"], "license": licence}
    return {"info": about | {"description": "From the npm package @octokit/openapi; see github_api.LICENSE"}} | trimmed


def _plain(value: Any, *, names: str = "") -> Any:  # noqa: ANN401 (JSON)
    """Return a part without words; with `names`, the part says of what kind the things are that its keys name."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = value if names else {key: item for key, item in value.items() if not _is_idle(key)}
    plain = {key: _plain(item, names=key if not names and key in _NAMES else "") for key, item in kept.items()}
    # OpenAPI insists on a word about each answer.
    needed = names == "responses"
    return {key: {"description": ""} | item if needed and "$ref" not in item else item for key, item in plain.items()}


def _is_idle(key: str) -> bool:
    return key.startswith("x-") or key in _WORDS


def _references(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            _, _, kind, name = value["$ref"].split("/")
            yield kind, name
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


if __name__ == "__main__":
    TRIMMED.write_text(json.dumps(trim(json.loads(Path(sys.argv[1]).read_text())), separators=(",", ":")) + "\n")
