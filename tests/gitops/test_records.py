"""The records: what they refuse, and that their digests depend on meaning alone."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from towpath_gitops.errors import DigestMismatchError
from towpath_gitops.records.artifact import check_artifact, manifest, manifest_digest
from towpath_gitops.records.base import (
    Duration,
    Image,
    Line,
    canonical_json,
    digest_bytes,
    digest_file,
    digest_of,
    format_duration,
    short,
)
from towpath_gitops.records.deployment import Deployment, PinnedRelease, Rollout
from towpath_gitops.records.evidence import Evidence, Finding, Kind, Verdict, bundle_digest, gate_digest
from towpath_gitops.records.parsing import load_yaml
from towpath_gitops.records.policy import Policy
from towpath_gitops.records.release import Release
from towpath_gitops.records.signature import Signature

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
D = digest_of("x")
FIELDS: dict[str, Any] = {
    "model": "flights",
    "version": 7,
    "semver": "2.1.0",
    "artifact": D,
    "schema": D,
    "data": D,
    "code": "a" * 40,
}


@given(st.dictionaries(st.text(), JSON))
def test_canonical_json_is_one_spelling_of_one_value(value: dict[str, Any]) -> None:
    """The order of keys does not matter, the text reads back as the value, and its own spelling is a fixed point."""
    reordered = dict(reversed(value.items()))
    try:
        spelled = canonical_json(value)
    except UnicodeEncodeError:  # a lone surrogate is no text
        return
    assert canonical_json(reordered) == spelled
    assert json.loads(spelled) == value
    assert canonical_json(json.loads(spelled)) == spelled


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_json_lacks_have_no_digest(value: object) -> None:
    """NaN and infinities are refused instead of written as something that nobody else can read."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(value)


def test_digests_of_values_bytes_and_files_agree(tmp_path: Path) -> None:
    """A file's digest is that of its bytes; a value's that of its canonical JSON."""
    (tmp_path / "f").write_bytes(b'{"a":1}')
    assert digest_file(tmp_path / "f") == digest_bytes(b'{"a":1}') == digest_of({"a": 1})
    assert short(digest_of({"a": 1})) == digest_of({"a": 1})[7:19]


@given(st.integers(min_value=0, max_value=10**12))
def test_durations_survive_being_written(milliseconds: int) -> None:
    """Whatever unit is chosen, reading gives the same duration back."""
    value = timedelta(milliseconds=milliseconds)
    assert TypeAdapter(Duration).validate_python(format_duration(value)) == value


@pytest.mark.parametrize(("text", "seconds"), [("50ms", 0.05), ("30s", 30), ("1.5h", 5400), ("7d", 604800), ("0s", 0)])
def test_durations_are_a_number_and_a_unit(text: str, seconds: float) -> None:
    """Each unit is understood."""
    assert TypeAdapter(Duration).validate_python(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "7", "7 d", "-1s", "1w", "1e3s", "٣s x", 7, None])
def test_anything_else_is_no_duration(text: object) -> None:
    """The error shows how to write one."""
    with pytest.raises(ValidationError, match="50ms, 30s, 10m, 1h or 7d"):
        TypeAdapter(Duration).validate_python(text)


@given(st.text())
def test_a_line_has_no_character_that_hides_or_breaks(text: str) -> None:
    """What is accepted is one visible line for every program that splits lines."""
    try:
        line = TypeAdapter(Line).validate_python(text)
    except ValidationError:
        return
    assert line.splitlines() == [line]


@pytest.mark.parametrize(
    "image", ["flights:latest", "flights", f"flights@{D[:-1]}", f"a b@{D}", f"$(id)@{D}", f"-x@{D}", f"x\n@{D}"]
)
def test_an_image_is_pinned_by_digest(image: str) -> None:
    """Tags move; shell words are no images."""
    with pytest.raises(ValidationError):
        TypeAdapter(Image).validate_python(image)
    assert TypeAdapter(Image).validate_python(f"registry.example/flights@{D}")


# --- release and deployment ---------------------------------------------------------------------------------------


def test_a_release_is_named_by_all_its_fields() -> None:
    """Each field changes the id; the id is the digest of the canonical JSON."""
    release = Release.model_validate(FIELDS)
    assert release.id == digest_of(FIELDS)
    others = {"model": "boats", "version": 8, "semver": "2.1.1", "code": "b" * 40}
    others |= dict.fromkeys(("artifact", "schema", "data"), digest_of("y"))
    ids = {Release.model_validate(FIELDS | {key: value}).id for key, value in others.items()}
    assert len(ids | {release.id}) == 8
    assert str(release) == f"flights 2.1.0 (version 7, {release.short_id})"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "Flights"),
        ("model", "../x"),
        ("version", 0),
        ("version", "latest"),
        ("semver", "2.1"),
        ("semver", "02.1.0"),
        ("artifact", "latest"),
        ("code", "HEAD"),
        ("extra", 1),
    ],
)
def test_a_release_never_holds_a_moving_name(key: str, value: object) -> None:
    """Latest, aliases, branches, paths and unknown fields are refused."""
    with pytest.raises(ValidationError):
        Release.model_validate(FIELDS | {key: value})


def _deployment(**fields: object) -> dict[str, object]:
    pinned = PinnedRelease.of(Release.model_validate(FIELDS)).plain()
    change = {"type": "promote", "from": None, "reason": "first"}
    base = {"apiVersion": "towpath/v1", "kind": "Deployment", "model": "flights", "environment": "staging"}
    return base | {"release": pinned, "change": change, "target": {"kind": "local", "port": 3000}} | fields


def test_a_deployment_pins_a_release_by_its_true_id() -> None:
    """The release comes back as it was; an id that is not its fields' digest is refused, and so is half a block."""
    deployment = Deployment.model_validate(_deployment())
    assert deployment.declared == Release.model_validate(FIELDS)
    assert set(deployment.owned) == {"apiVersion", "kind", "model", "environment", "target", "rollout"}
    lie = deployment.release.plain() | {"semver": "9.9.9"}
    for wrong in ({"release": lie}, {"model": "boats"}, {"release": None}, {"change": None}):
        with pytest.raises(ValidationError):
            Deployment.model_validate(_deployment(**wrong))


def test_an_image_may_change_without_another_release() -> None:
    """Repackaging is not retraining: the image is not part of the id."""
    release = Release.model_validate(FIELDS)
    assert PinnedRelease.of(release, f"x@{D}").id == PinnedRelease.of(release).id == release.id


@pytest.mark.parametrize("steps", [(), (0.5,), (0.5, 0.1, 1.0), (0.1, 0.1, 1.0), (0, 1.0), (0.5, 1.5)])
def test_rollout_steps_grow_to_one(steps: tuple[float, ...]) -> None:
    """Shares that shrink, repeat or stop halfway are refused."""
    with pytest.raises(ValidationError):
        Rollout(steps=steps)
    assert Rollout(steps=(0.1, 0.5, 1.0)).steps[-1] == 1.0


@pytest.mark.parametrize("port", [0, 80, 65536])
def test_a_local_port_is_an_unprivileged_one(port: int) -> None:
    """The local target never asks for more rights."""
    with pytest.raises(ValidationError):
        Deployment.model_validate(_deployment(target={"kind": "local", "port": port}))


# --- evidence and policy ------------------------------------------------------------------------------------------


def _evidence(kind: Kind = Kind.EVALUATION, *verdicts: Verdict) -> Evidence:
    findings = tuple(Finding(gate="g", verdict=verdict, message="m") for verdict in verdicts)
    return Evidence(kind=kind, model="flights", release=D, gates=D, created=NOW, findings=findings)


@given(st.lists(st.sampled_from(list(Verdict))))
def test_only_all_passing_findings_pass(verdicts: list[Verdict]) -> None:
    """One fault spoils it, and nothing at all is an error."""
    passes = _evidence(Kind.DATA, *verdicts).verdict is Verdict.PASS
    assert passes is (bool(verdicts) and set(verdicts) == {Verdict.PASS})


def test_the_gravest_verdict_counts() -> None:
    """Error before fail before inconclusive before pass."""
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR]
    for end in range(1, 5):
        assert Verdict.worst(order[:end]) is order[end - 1]


def test_a_bundle_is_a_set_and_each_item_counts() -> None:
    """Order does not matter; one more, one less or one changed does."""
    one, two = _evidence(Kind.DATA, Verdict.PASS), _evidence(Kind.PARITY, Verdict.PASS)
    assert bundle_digest([one, two]) == bundle_digest([two, one])
    other = _evidence(Kind.PARITY, Verdict.FAIL)
    assert len({bundle_digest(items) for items in ([], [one], [one, two], [one, other])}) == 4


def test_evidence_knows_its_age() -> None:
    """Seconds since it was made; negative when it is from the future."""
    assert _evidence().age_s(NOW + timedelta(seconds=5)) == 5
    assert _evidence().age_s(NOW - timedelta(seconds=5)) == -5
    with pytest.raises(ValidationError):
        Evidence.model_validate(_evidence().plain() | {"created": "2026-01-01T00:00:00"})


def test_only_the_part_that_judges_makes_evidence_stale() -> None:
    """Gates for evaluation, `serve` for load, `quality` for data; comments, order and other parts do not matter."""
    text = "name: f\ngates:\n  - {metric: roc_auc, min: 0.68}\nserve: {p99: 50ms, rate: 200/s}\n"
    plain = load_yaml(text, source="m")
    spelled = load_yaml(
        "# other words\nname: g\nserve:\n  rate: 200/s\n  p99: 50ms\ngates:\n- min: 0.68 # yes\n  metric: 'roc_auc'\n",
        source="m",
    )
    stricter = load_yaml(text.replace("0.68", "0.69"), source="m")
    for kind in Kind:
        assert gate_digest(plain, kind) == gate_digest(spelled, kind)
        judged = kind not in {Kind.LOAD, Kind.CONTRACT}
        assert (gate_digest(plain, kind) != gate_digest(stricter, kind)) is judged
    assert gate_digest({}, Kind.DATA) == gate_digest({"gates": None}, Kind.DATA)
    fussy = plain | {"quality": {"overlap": 0.01}}
    assert {kind for kind in Kind if gate_digest(plain, kind) != gate_digest(fussy, kind)} == {Kind.DATA}


def test_what_explains_a_gate_is_part_of_its_digest() -> None:
    """Other limits for the checks make behaviour evidence stale, and no other; saying nothing is as before."""
    plain, lenient = {"gates": []}, {"gates": [], "behaviour": {"memory": 1}}
    for kind in Kind:
        assert (gate_digest(plain, kind) != gate_digest(lenient, kind)) is (kind is Kind.BEHAVIOUR)
        assert gate_digest(plain, kind) == gate_digest({**plain, "behaviour": None}, kind)


def test_a_policy_orders_its_environments() -> None:
    """Upstream, last, unknown; and no name twice."""
    base = {"apiVersion": "towpath/v1", "kind": "Policy"}
    policy = Policy.model_validate(base | {"environments": [{"name": "staging"}, {"name": "production"}]})
    assert (policy.last.name, policy.upstream("staging")) == ("production", None)
    assert policy.upstream("production").name == "staging"
    assert policy.environment("qa") is None
    for wrong in ([], [{"name": "a"}, {"name": "a"}], [{"name": "a", "evidence": {"vibes": "7d"}}]):
        with pytest.raises(ValidationError):
            Policy.model_validate(base | {"environments": wrong})


# --- signature and artifact ---------------------------------------------------------------------------------------


def _signature(*inputs: dict[str, Any], **fields: Any) -> Signature:  # noqa: ANN401 (fields of a signature)
    base: dict[str, Any] = {"task": "binary", "target": "late", "classes": ["false", "true"]}
    return Signature.model_validate(base | {"inputs": inputs or ({"name": "a", "type": "number"},)} | fields)


@pytest.mark.parametrize(
    ("needed", "sent", "words"),
    [
        ({"name": "b", "type": "number"}, None, "needs the column “b”"),
        ({"name": "b", "type": "number", "nullable": True}, None, None),
        ({"name": "b", "type": "number"}, {"name": "b", "type": "string"}, "must be number"),
        ({"name": "b", "type": "number"}, {"name": "b", "type": "integer"}, None),
        ({"name": "b", "type": "integer"}, {"name": "b", "type": "number"}, "must be integer"),
        ({"name": "b", "type": "number"}, {"name": "b", "type": "number", "nullable": True}, "may not be missing"),
        ({"name": "b", "type": "string", "categories": ["x"]}, {"name": "b", "type": "string"}, "fewer categories"),
        (
            {"name": "b", "type": "string", "categories": ["x", "y"]},
            {"name": "b", "type": "string", "categories": ["x"]},
            None,
        ),
    ],
)
def test_a_signature_says_which_callers_it_would_fail(
    needed: dict[str, Any], sent: dict[str, Any] | None, words: str | None
) -> None:
    """Each way to break a caller, and each that looks alike but does not."""
    column = {"name": "a", "type": "number"}
    reasons = _signature(column, needed).breaks(_signature(column, *([sent] if sent else [])))
    assert bool(reasons) is (words is not None)
    assert words is None or words in reasons[0]


def test_another_question_or_answer_breaks_every_caller() -> None:
    """Task, target and classes are part of the contract."""
    old = _signature()
    for other in (_signature(target="early"), _signature(classes=["no", "yes"]), _signature(task="multiclass")):
        assert other.breaks(old)
    assert not _signature(threshold=0.3).breaks(old)


def test_what_is_looked_up_need_not_be_sent_but_its_key_must() -> None:
    """Callers who send the feature go on as before; those who send neither it nor its key would fail."""
    sent, feature = {"name": "a", "type": "number"}, {"name": "b", "type": "number", "nullable": True}
    view = {"view": "v", "columns": ["b"], "keys": [{"name": "k", "type": "string"}]}
    plain, bare = _signature(sent, feature), _signature(sent)
    online = _signature(sent, feature, online={"views": [view]})
    assert online.digest != plain.digest
    assert (
        online.digest == _signature(sent, feature, online={"views": [view | {"ttl_s": 60.0}], "late": "missing"}).digest
    )
    assert "online" not in plain.plain()
    assert not online.breaks(plain)
    assert not online.breaks(online)
    assert "looks up v by “k”" in online.breaks(bare)[0]
    strict = _signature(sent, {**feature, "nullable": False})
    assert strict.breaks(online), "a way back to a release that wants the feature itself"


def test_an_example_is_not_part_of_the_contract() -> None:
    """Digest and compatibility ignore it; two columns of one name are refused."""
    column = {"name": "a", "type": "number"}
    assert _signature({**column, "example": 1.5}).digest == _signature(column).digest
    assert _signature({**column, "nullable": True}).digest != _signature(column).digest
    with pytest.raises(ValidationError):
        _signature(column, column)


def test_what_training_saw_is_not_part_of_the_contract() -> None:
    """Digests of releases from before this was kept stand, and their files gain no field when they are written."""
    column = {"name": "a", "type": "number"}
    old = _signature(column)
    new = _signature({**column, "seen": {"minimum": 0, "maximum": 9}}, sensitive=["b"], deciles=[0.1] * 9)
    assert new.digest == old.digest == "sha256:b6ea67295c556a3e64d9376952d2549da3d33b75108c4150ae1e2d87b41aa5c4"
    assert not {"sensitive", "deciles"} & set(old.plain())
    assert "seen" not in old.plain()["inputs"][0]
    assert Signature.model_validate(new.plain()) == new


def test_one_digest_covers_every_byte_and_name(tmp_path: Path) -> None:
    """A byte, a file more, a file less and a new name each change it."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "sub" / "x").write_bytes(b"")
    digest = manifest_digest(tmp_path)
    assert set(manifest(tmp_path)) == {"model.onnx", "sub/x"}
    check_artifact(tmp_path, digest)
    for spoil, mend in (
        (
            lambda: (tmp_path / "model.onnx").write_bytes(b"grapH"),
            lambda: (tmp_path / "model.onnx").write_bytes(b"graph"),
        ),
        ((tmp_path / "more").touch, (tmp_path / "more").unlink),
        (lambda: (tmp_path / "sub/x").rename(tmp_path / "y"), lambda: (tmp_path / "y").rename(tmp_path / "sub/x")),
    ):
        spoil()
        with pytest.raises(DigestMismatchError, match="not the one that was approved"):
            check_artifact(tmp_path, digest)
        mend()
        check_artifact(tmp_path, digest)


def test_links_in_an_artifact_are_refused(tmp_path: Path) -> None:
    """A link could lead to other bytes tomorrow."""
    (tmp_path / "model.onnx").symlink_to("/etc/hostname")
    with pytest.raises(DigestMismatchError, match="not a plain file"):
        manifest_digest(tmp_path)
