"""The eight acts. Each is told with the verbs that a user types; only the narrator's words are extra."""

import json
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from towpath_ci.demo.scaffold import data_file
from towpath_ci.demo.story import Story, shown_json
from towpath_ci.demo.traffic import TIMEOUT_S, Traffic, post
from towpath_flows.spec import ModelSpec
from towpath_gitops.errors import RefusedError, StoryError
from towpath_gitops.records.release import Release

UNPROCESSABLE: Final = 422
RETRAINED: Final = "retrained on later data"
CALLERS: Final = 40
COUNTER: Final = "towpath_requests_total"


def train(story: Story) -> None:
    """Act 1: rows become a registered release."""
    first, last = window(story.spec)
    about = f"A Prefect flow turns the rows from {day(first)} to {day(last)} into a registered release."
    with story.theatre.act("Train", about):
        story.theatre.towpath("train")


def promote(story: Story) -> None:
    """Act 2: the release goes through every environment by pull request."""
    names = " → ".join(story.environments)
    with story.theatre.act("Promote", f"Pull requests bring the release through {names}."):
        release = story.newest_release()
        for position, environment in enumerate(story.environments):
            story.promote(release, environment, "first release", show_refusal=position == 0)
        story.theatre.run("git", "pull", "--quiet")
        story.theatre.towpath("status")


def serve(story: Story) -> None:
    """Act 3: callers get answers, and explanations when they err."""
    with story.theatre.act("Serve", f"The production service answers on http://127.0.0.1:{story.port}."):
        row = story.sample_rows()[0]
        ask(story, {"rows": [row]}, expect=200)
        story.theatre.say(
            "A tenth of the answers is remembered for the monitor, without what the schema calls sensitive."
        )
        story.theatre.say("A caller who errs is told which row, which field, and what was expected:")
        ask(story, {"rows": [{**row, next(iter(row)): [1, 2]}]}, expect=UNPROCESSABLE)


def ask(story: Story, body: dict[str, Any], *, expect: int) -> None:
    """Show one request and its answer."""
    text = json.dumps(body)
    command = f"curl -s http://127.0.0.1:{story.port}/v1/predict -H 'content-type: application/json' -d '{text}'"
    story.theatre.console.print(f"\n[bold green]a caller $[/] {command}", highlight=False, markup=True)
    status, _, content = post(story.port, text)
    if status != expect:
        raise StoryError(f"The service answered {status}, the story expects {expect}.", why=content.decode()[:2000])
    story.theatre.console.print(f"HTTP {status}\n{shown_json(json.loads(content))}", highlight=False, markup=False)


def notice(story: Story) -> None:
    """Act 4: the world moves on; the monitor says so, and a challenger comes as far as the last environment."""
    _, trained_until = window(story.spec)
    now = later(story.spec)
    about = f"{day(trained_until)} to {day(now)} has passed. Is the world still the one that was learned?"
    with story.theatre.act("Notice and retrain", about):
        story.theatre.towpath("monitor", "--since", iso(trained_until), "--until", iso(now))
        story.theatre.say("Retrain with the later rows, and compare with the champion on the same latest ones:")
        story.edit_spec(lambda document: set_until(document, now), "Train on later data too")
        story.theatre.run("git", "push", "--quiet")
        story.theatre.towpath("train")
        for environment in story.environments[:-1]:
            story.promote(story.newest_release(), environment, RETRAINED)
        story.theatre.run("git", "pull", "--quiet")


def experiment(story: Story) -> None:
    """Act 5: the challenger answers half of production's callers beside the champion, then takes over."""
    environment, challenger = story.environments[-1], story.newest_release()
    about = f"Before {challenger.semver} takes over {environment}, it answers half of the callers there."
    with story.theatre.act("Experiment", about):
        split = ("--environment", environment, "--mode", "ab", "--share", "0.5")
        reason = ("--reason", "is it as good for callers?")
        story.theatre.towpath("experiment", "start", challenger.short_id, *split, *reason)
        story.settle(story.next_pull(), environment)
        story.theatre.towpath("experiment", "status", "--environment", environment)
        story.theatre.say(f"{CALLERS} callers ask, each with a key of their own, and ask again:")
        met = answering(story)
        champion = story.promotions[environment][-1]
        who = " and ".join(f"{release.semver} answered {met[release.id]}" for release in (champion, challenger))
        story.theatre.say(f"{who}; the second time each met the same release. What the service counted:")
        counted(story)
        story.theatre.say("It does well. To promote it ends the experiment:")
        story.promote(challenger, environment, RETRAINED)
        story.theatre.run("git", "pull", "--quiet")


def answering(story: Story) -> dict[str, int]:
    """Return how many of the callers each release answers; each asks twice.

    Raises:
        StoryError: a caller met two releases, or a release met nobody.
    """
    row = story.sample_rows()[0]
    bodies = [json.dumps({"rows": [row], "entity": f"caller {number}"}) for number in range(CALLERS)]
    first, second = ([post(story.port, body)[1].get("x-towpath-release", "") for body in bodies] for _ in range(2))
    if first != second or len(set(first)) != 2:  # noqa: PLR2004 (champion and challenger)
        raise StoryError("The experiment does not split its callers.", why=f"They met {first}, and then {second}.")
    return Counter(first)


def counted(story: Story) -> None:
    """Show the counters of requests by lane and release, as a scraper sees them."""
    page = f"http://127.0.0.1:{story.port}/metrics"
    story.theatre.console.print(f"\n[bold green]a scraper $[/] curl -s {page} | grep {COUNTER}", highlight=False)
    with urlopen(page, timeout=TIMEOUT_S) as response:
        lines = [line for line in response.read().decode().splitlines() if line.startswith(COUNTER)]
    story.theatre.console.print("\n".join(lines), highlight=False, markup=False)


def refuse(story: Story) -> None:
    """Act 6: a model that must not pass, does not, approved or not."""
    with story.theatre.act("Refuse", "Somebody brings a release that must never serve."), story.branch("too-good"):
        spoil(story)
        story.theatre.towpath("train")
        story.theatre.towpath("promote", story.newest_release().short_id, "--to", story.environments[0])
        pull = story.next_pull()
        story.theatre.say("A colleague approves in good faith. The gates do not care:")
        story.theatre.towpath("approve", pull, by=story.approver)
        story.theatre.towpath("review", pull, expect=RefusedError.exit_code)
        story.theatre.towpath("merge", pull, expect=RefusedError.exit_code)
        story.theatre.towpath("close", pull)


def spoil(story: Story) -> None:
    """Prepare the bad release: a leaked column where the data has one, otherwise columns torn from their rows."""
    if story.spec.exclude:
        names = ", ".join(story.spec.exclude)
        story.theatre.say(f"A branch uses {names} as a feature: known only after the fact, and wonderfully predictive.")
        story.edit_spec(lambda document: document.pop("exclude"), "Use every column there is")
        return
    story.theatre.say("A branch trains on a join gone wrong: every column belongs to another row.")
    torn = tear(story.root, story.spec)
    story.edit_spec(lambda document: document["data"]["train"].update(file=torn), "Use the new join")


def tear(root: Path, spec: ModelSpec) -> str:
    """Write the rows of the training window with the target of other rows; return the file's path from `root`."""
    from towpath_flows.data.sources import load  # noqa: PLC0415 (pandas: only this act needs it)
    from towpath_flows.project import Project  # noqa: PLC0415 (as above)

    frame = load(Project(root, spec)).frame
    frame[spec.target] = frame[spec.target].sample(frac=1.0, random_state=spec.train.seed).to_numpy()
    path = Path(data_file(spec)).parent / "torn.parquet"
    frame.to_parquet(root / path)
    return path.as_posix()


def roll_back(story: Story, traffic: Traffic) -> None:
    """Act 7: back to the old release by pull request, measured, with requests flowing."""
    environment = story.environments[-1]
    old, bad = story.promotions[environment][-2:]
    about = f"Suppose {bad.semver} disappoints in {environment}: a pull request brings {old.semver} back."
    with story.theatre.act("Roll back", about):
        story.theatre.towpath("rollback", "--environment", environment, "--reason", "complaints from the airport")
        pull = story.next_pull()
        story.theatre.towpath("approve", pull, by=story.approver)
        merging_s = time.monotonic()
        story.theatre.towpath("merge", pull)
        story.theatre.towpath("reconcile", "--environment", environment)
        took_s = answered_after_s(traffic, old, merging_s)
        story.figures["merge → the old release answers"] = f"{took_s:.2f} s"
        story.theatre.say(f"From `towpath merge` to the old release's first answer: [bold]{took_s:.2f} s[/].")
        story.promotions[environment].append(old)
        story.theatre.run("git", "pull", "--quiet")


def answered_after_s(traffic: Traffic, release: Release, since_s: float) -> float:
    """Return the seconds from `since_s` until `release` first answered a caller.

    Raises:
        StoryError: it never did.
    """
    first = traffic.first_answer_of(release.id, since_s)
    if first is None:
        raise StoryError(f"{release} never answered a caller after the rollback.")
    return first - since_s


def testify(story: Story) -> None:
    """Act 8: git alone tells who served what, when, and why."""
    with story.theatre.act("Testify", "Who served what, when, approved by whom, on which evidence?"):
        story.theatre.towpath("audit")
        story.theatre.towpath("audit", "verify")


def window(spec: ModelSpec) -> tuple[datetime, datetime]:
    """Return the training window.

    Raises:
        StoryError: model.yaml gives none: the story is about time passing.
    """
    bounds = spec.data.window.bounds if spec.data.window else (None, None)
    if None in bounds:
        raise StoryError(
            "model.yaml has no data.window with both ends.",
            why="The story trains on one stretch of time and looks at the next.",
            hint="Give `time: …` and `data: {window: {from: …, until: …}}`.",
        )
    return bounds  # type: ignore[return-value]  # None was refused above


def later(spec: ModelSpec) -> datetime:
    """Return the end of the stretch that follows the training window: `monitor.window` later."""
    return window(spec)[1] + spec.monitor.window


def set_until(document: Any, until: datetime) -> None:  # noqa: ANN401 (ruamel's own mapping)
    """Move the end of the training window in a parsed `model.yaml`."""
    document["data"]["window"]["until"] = until.date() if until.time() == datetime.min.time() else until


def day(moment: datetime) -> str:
    """Return a day as people write it."""
    return f"{moment:%-d %B %Y}" if moment.time() == datetime.min.time() else f"{moment:%-d %B %Y %H:%M}"


def iso(moment: datetime) -> str:
    """Return a moment as the command line takes it."""
    return moment.strftime("%Y-%m-%d") if moment.time() == datetime.min.time() else moment.isoformat()
