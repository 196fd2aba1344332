"""The command line: a list of verbs."""

from typing import Final

from towpath_ci.lazy import Verb, command_line

TRAIN, PROMOTE, SERVE = "Train", "Promote", "Serve"
LOOK, PROVE, SET_UP = "Look", "Prove", "Set up"


def _verb(panel: str, name: str, text: str) -> tuple[str, Verb]:
    return name, Verb(panel=panel, module=f"towpath_ci.verbs.{name}", help=text)


VERBS: Final[dict[str, Verb]] = dict(
    [
        _verb(TRAIN, "infer", "Write model.yaml and schema.py for a table of your own."),
        _verb(TRAIN, "train", "Train, judge and register a release: run flows/train.py."),
        _verb(TRAIN, "validate", "Check the training data: its schema, leaks, copies."),
        _verb(TRAIN, "compare", "Compare a release with today's champion on the same later data."),
        _verb(TRAIN, "load", "Drive a release and today's champion side by side; judge latency and throughput."),
        _verb(TRAIN, "sign", "Vouch for a release: sign its id and every byte of its artifact."),
        _verb(TRAIN, "monitor", "Look for drift and lost accuracy: run flows/monitor.py."),
        _verb(PROMOTE, "promote", "Propose that an environment serves a release."),
        _verb(PROMOTE, "rollback", "Propose to go back to a release that was verified there."),
        _verb(PROMOTE, "hold", "Propose to keep a release out of an environment."),
        _verb(PROMOTE, "unhold", "Propose to let a held release in again."),
        _verb(PROMOTE, "experiment", "Let a challenger serve beside the champion, and look."),
        _verb(PROMOTE, "repackage", "Propose another image for the release that serves."),
        _verb(PROMOTE, "policy", "Say what the policy asks for; explain what is missing."),
        _verb(PROMOTE, "pulls", "List the pull requests."),
        _verb(PROMOTE, "review", "Say whether a pull request may merge, and if not, why."),
        _verb(PROMOTE, "approve", "Approve a pull request at its present head."),
        _verb(PROMOTE, "merge", "Review once more and merge a pull request."),
        _verb(PROMOTE, "close", "Close a pull request without merging it."),
        _verb(SERVE, "reconcile", "Make environments serve what main declares, and verify it."),
        _verb(SERVE, "guard", "Watch what is live; take back what does harm."),
        _verb(SERVE, "verify", "Ask a service who it is and replay its golden requests."),
        _verb(SERVE, "package", "Build the Bento of a release: what an image of it holds."),
        _verb(SERVE, "image", "Build, push, move and verify the image of a release."),
        _verb(SERVE, "client", "Write a typed Python client of a release: one file that needs no library."),
        _verb(SERVE, "up", "Start the pages of Prefect and MLflow; print the addresses."),
        _verb(SERVE, "down", "Stop what runs for this repository: services and pages."),
        _verb(LOOK, "status", "Show what is declared and what is served, everywhere."),
        _verb(LOOK, "releases", "List the releases of this repository's model."),
        _verb(LOOK, "show", "Show one release: digests, evidence, where it serves."),
        _verb(LOOK, "lineage", "Draw what a release was made from, and where it went."),
        _verb(LOOK, "audit", "Testify who served what, when, approved by whom, and why."),
        _verb(LOOK, "report", "Write a page about a release, or about controls and their evidence."),
        _verb(PROVE, "drill", "Inject faults and prove that each gate refuses its own."),
        _verb(PROVE, "reproduce", "Make a release again; say whether it is the same, byte for byte."),
        _verb(PROVE, "demo", "Live through the whole loop on real flights, in minutes."),
        _verb(SET_UP, "doctor", "Say what is missing here, and the command that mends it."),
        _verb(SET_UP, "schemas", "Write the JSON schemas of all YAML and JSON, for editors."),
    ]
)

app = command_line(VERBS, epilog="Begin with: towpath doctor · then: towpath train")
