"""Checks of the files that people write in a model repository."""

import re
from pathlib import Path

from towpath_ci.doctor.base import Check, Finding, State
from towpath_gitops import layout
from towpath_gitops.errors import NotFoundError, TowpathError
from towpath_gitops.promotion.codeowners import owners_of
from towpath_gitops.records.deployment import Deployment, parse_deployment
from towpath_gitops.records.parsing import parse_yaml
from towpath_gitops.records.policy import KeySigning, Policy

LOCK = layout.LOCK


class ModelFile(Check):
    """model.yaml says what it should."""

    mend = "towpath schemas .towpath/schemas   (then let your editor point at the mistake)"

    @staticmethod
    def check(model_root: Path) -> Finding:
        """It is the one file that a model's owner must edit."""
        from towpath_flows.spec import load_spec  # noqa: PLC0415 (only this check needs the flows)

        load_spec(model_root)
        return True


class PolicyFile(Check):
    """gitops/policy.yaml says what it should."""

    mend = "git checkout origin/main -- gitops/policy.yaml"

    @staticmethod
    def check(model_root: Path) -> Finding:
        """It says in which order environments come and what each demands; without it nothing is promoted."""
        parse_yaml(_text(model_root / layout.POLICY), Policy, source=layout.POLICY)
        return True


class EnvironmentFiles(Check):
    """Every environment file says what it should, and lies where it says."""

    mend = "git checkout origin/main -- gitops/environments"

    @staticmethod
    def check(model_root: Path) -> Finding:
        """An unreadable environment file stops every promotion and reconciliation of that environment."""
        problems = [
            problem
            for path in sorted((model_root / layout.ENVIRONMENTS).glob("*/*.yaml"))
            if (problem := _problem(path, model_root))
        ]
        return "\n".join(problems) or True


class EveryEnvironmentHasAFile(Check):
    """Every environment of the policy has a file."""

    mend = "cp gitops/environments/staging/<model>.yaml gitops/environments/<environment>/   (then edit it)"

    @staticmethod
    def check(policy: Policy, deployments: tuple[Deployment, ...]) -> Finding:
        """A release passes through the environments in the policy's order, one after the other."""
        present = {deployment.environment for deployment in deployments}
        missing = [environment.name for environment in policy.environments if environment.name not in present]
        return f"no file for {', '.join(missing)}" if missing else True


class Codeowners(Check):
    """CODEOWNERS names owners for every environment, for policy and keys, for the workflows and for itself."""

    mend = "echo '/gitops/environments/ @your-team' >> .github/CODEOWNERS"

    @staticmethod
    def check(model_root: Path, policy: Policy) -> Finding:
        """Without owners a path may be approved by anybody; on a forge with rules, by nobody in particular."""
        text = _text(model_root / layout.CODEOWNERS)
        wanted = [f"{layout.ENVIRONMENTS}/{environment.name}/x.yaml" for environment in policy.environments]
        wanted += [layout.CODEOWNERS, ".github/workflows/x.yml", layout.POLICY, *_keys(policy)]
        bare = [path for path in wanted if not owners_of(text, path)]
        return f"nobody owns {', '.join(bare)}" if bare else True


class EnoughOwners(Check):
    """CODEOWNERS names as many people as the policy asks for approvals."""

    mend = "edit .github/CODEOWNERS: one line for each environment, with everybody who may approve there"

    @staticmethod
    def check(model_root: Path, policy: Policy) -> Finding:
        """With fewer no pull request is ever approved: an approval counts when it comes from an owner of the file."""
        text = _text(model_root / layout.CODEOWNERS)
        lanes = [policy.rollback.approvals, policy.hotfix.approvals if policy.hotfix else 0]
        short = [
            f"{environment.name}: {able} of {needed}"
            for environment in policy.environments
            if (able := _able(text, policy, environment.name)) is not None
            and able < (needed := max(environment.approvals, *lanes))
        ]
        return ", ".join(short) or True


class Schemas(Check):
    """Editors find the JSON schemas that the YAML files point at."""

    gravity = State.WARN
    mend = "towpath schemas .towpath/schemas"

    @staticmethod
    def check(model_root: Path) -> Finding:
        """With them an editor completes keys and marks mistakes while you type."""
        from towpath_ci.schemas import SCHEMAS, render  # noqa: PLC0415 (imports every record)

        folder = layout.state(model_root, "schemas")
        stale = [name for name in SCHEMAS if _text_or_none(folder / f"{name}.json") != render(name)]
        return f"missing or from another version: {', '.join(stale)}" if stale else True


class Lock(Check):
    """The lock file pins every dependency with its hash."""

    gravity = State.WARN
    mend = "make lock"

    @staticmethod
    def check(model_root: Path) -> Finding:
        """Two machines, or one machine in two months, would otherwise train with different libraries."""
        text = _text_or_none(model_root / LOCK)
        if text is None:
            return f"there is no {LOCK}"
        pins = re.findall(r"^[A-Za-z0-9][^\s=@]*(?:\[[^\]]*\])?==", text, re.MULTILINE)
        if not pins:
            return f"{LOCK} pins nothing"
        manifest = model_root / "pyproject.toml"
        newer = manifest.is_file() and manifest.stat().st_mtime > (model_root / LOCK).stat().st_mtime + 60
        return "pyproject.toml was edited after the lock was made" if newer else True


def _able(text: str, policy: Policy, environment: str) -> int | None:
    """Return how many people could approve for an environment; None where a team, of any size, is among them."""
    owners = set(owners_of(text, f"{layout.ENVIRONMENTS}/{environment}/x.yaml"))
    if any("/" in owner for owner in owners):
        return None
    on_github = policy.forge.kind == "github"  # where an address stands for nobody
    return sum(owner.startswith("@") or not on_github for owner in owners)


def _keys(policy: Policy) -> tuple[str, ...]:
    return policy.signing.keys if isinstance(policy.signing, KeySigning) else ()


def _problem(path: Path, root: Path) -> str | None:
    name = path.relative_to(root).as_posix()
    try:
        deployment = parse_deployment(_text(path), source=name)
    except TowpathError as error:
        return str(error)
    wanted = layout.environment_path(deployment.environment, deployment.model)
    return None if name == wanted else f"{name} says that it is {wanted}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"{path} cannot be read", why=str(error)) from error


def _text_or_none(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
