"""The same training without Towpath, as a careful person writes it: what `towpath train` does, stage by stage.

Usage: by_hand_fully.py TABLE STORE FOLDER [RESAMPLES]. It is the full peer in training.py: the same rows, columns,
split, parameters and threads; the contract, the rules, intervals, slices, a graph that is proved, behaviour,
importance, a card, and a registered version with all of it. Its intervals come from 200 resamples, where Towpath takes
2,000. What it lacks: retries, lineage, the comparison with a champion, signatures, and anybody to test it.
"""

import hashlib
import html
import io
import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pandera.pandas as pa
import skops.io
import xgboost
from matplotlib.figure import Figure
from mlflow.models import infer_signature
from numpy.typing import NDArray
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.calibration import calibration_curve
from sklearn.compose import ColumnTransformer
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

TARGET, TIME, ENTITY = "late", "scheduled_at", "flight_id"
LEFT_OUT = [TARGET, TIME, ENTITY, "dep_delay"]
WORDS = ["carrier", "origin", "dest"]
ROUNDS, PATIENCE, SEED = 400, 30, 7
PARAMS = {"learning_rate": 0.1, "max_depth": 6, "min_child_weight": 10.0, "subsample": 0.8, "colsample_bytree": 0.8}
MODEL = "by-hand-fully"
Floats = NDArray[np.float64]

SCHEMA = pa.DataFrameSchema(
    {
        ENTITY: pa.Column(str, unique=True),
        TIME: pa.Column(pd.DatetimeTZDtype("us", "UTC")),
        "carrier": pa.Column(str),
        "origin": pa.Column(str, pa.Check.isin(["EWR", "JFK", "LGA"])),
        "dest": pa.Column(str),
        "distance": pa.Column(int, pa.Check.gt(0)),
        "hour": pa.Column(int, pa.Check.in_range(0, 23)),
        "weekday": pa.Column(int, pa.Check.in_range(0, 6)),
        "temp": pa.Column(float, pa.Check.in_range(-60, 130), nullable=True),
        "humid": pa.Column(float, pa.Check.in_range(0, 100), nullable=True),
        "wind_speed": pa.Column(float, pa.Check.ge(0), nullable=True),
        "wind_gust": pa.Column(float, pa.Check.ge(0), nullable=True),
        "precip": pa.Column(float, pa.Check.ge(0), nullable=True),
        "pressure": pa.Column(float, pa.Check.in_range(900, 1100), nullable=True),
        "visib": pa.Column(float, pa.Check.in_range(0, 10), nullable=True),
        "seats": pa.Column(float, pa.Check.gt(0), nullable=True),
        "engines": pa.Column(float, pa.Check.ge(1), nullable=True),
        "plane_age": pa.Column(float, pa.Check.ge(0), nullable=True),
        "dep_delay": pa.Column(float),
        TARGET: pa.Column(bool),
    },
    strict="filter",
    coerce=True,
)


def inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that the model sees, as it is served."""
    columns = frame.drop(columns=LEFT_OUT)
    numbers = {name: "float32" for name in columns if name not in WORDS}
    return columns.astype(numbers | dict.fromkeys(WORDS, object))


# --- the data -----------------------------------------------------------------------------------------------------


def rules(
    frame: pd.DataFrame, train: pd.DataFrame, rest: pd.DataFrame, before: pd.DataFrame | None
) -> dict[str, float]:
    """Return figures of quality: duplicates, overlap, completeness, leakage, drift against the last release."""
    hashes = pd.util.hash_pandas_object(frame, index=False)
    seen, asked = (pd.util.hash_pandas_object(part, index=False) for part in (train, rest))
    found = {
        "duplicates": float(hashes.duplicated().mean()),
        "repeated_names": float(frame[ENTITY].duplicated().mean()),
        "overlap": float(asked.isin(seen).mean()),
        "completeness": float(frame.notna().mean().min()),
        "age_days": float((pd.Timestamp.now(tz="UTC") - frame[TIME].max()).days),
    }
    features = [name for name in frame if name not in LEFT_OUT]
    found["leakage"] = max(alone(train[name], train[TARGET], rest[name], rest[TARGET]) for name in features)
    found["copies"] = float(sum((frame[name] == frame[TARGET]).mean() > 0.999 for name in features))  # noqa: PLR2004 (by hand)
    found["constant"] = float(sum((frame[name] == frame[name].iloc[0]).all() for name in features))
    if before is not None:
        found["drift"] = max(moved(before[name], frame[name]) for name in features if name not in WORDS)
        new = [~frame[name].isin(before[name].unique()) for name in WORDS]
        found["new_categories"] = max(float(values.mean()) for values in new)
    return found


def alone(known: pd.Series, y: pd.Series, unseen: pd.Series, truth: pd.Series) -> float:
    """Return the ROC AUC on unseen rows of the target's mean in fifty bins of one column."""
    if known.name not in WORDS:
        edges = np.unique(known.quantile(np.linspace(0, 1, 51)).dropna())
        known, unseen = (pd.Series(np.digitize(part, edges)) for part in (known, unseen))
    groups = y.astype(float).groupby(known.to_numpy())
    means = (groups.sum() + 20 * y.mean()) / (groups.size() + 20)
    return float(roc_auc_score(truth, unseen.map(means).fillna(y.mean())))


def moved(before: pd.Series, now: pd.Series) -> float:
    """Return the population stability index over tenths."""
    edges = np.unique(before.quantile(np.linspace(0, 1, 11)).dropna())[1:-1]
    shares = [np.bincount(np.digitize(part.dropna(), edges), minlength=len(edges) + 1) for part in (before, now)]
    old, new = (np.maximum(counts / counts.sum(), 1e-4) for counts in shares)
    return float(((new - old) * np.log(new / old)).sum())


# --- the model ----------------------------------------------------------------------------------------------------


def fit(train: pd.DataFrame, validation: pd.DataFrame) -> Pipeline:
    """Find the rounds on validation, then fit on both."""

    def features() -> ColumnTransformer:
        words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
        numbers = [name for name in train if name not in {*LEFT_OUT, *WORDS}]
        return ColumnTransformer([("numbers", "passthrough", numbers), ("words", words, WORDS)])

    first = features()
    x, unseen = first.fit_transform(inputs(train)), first.transform(inputs(validation))
    rounds = xgboost.XGBClassifier(
        n_estimators=ROUNDS, early_stopping_rounds=PATIENCE, eval_metric="auc", random_state=SEED, **PARAMS
    )
    rounds.fit(x, train[TARGET], eval_set=[(unseen, validation[TARGET])], verbose=False)
    both = pd.concat([train, validation], ignore_index=True)
    trees = xgboost.XGBClassifier(n_estimators=rounds.best_iteration + 1, random_state=SEED, **PARAMS)
    model = Pipeline([("features", features()), ("trees", trees)])
    return model.fit(inputs(both), both[TARGET])


def export(model: Pipeline, x: pd.DataFrame) -> tuple[bytes, float]:
    """Return the graph, and the largest difference of its answers to all test rows from the model's."""
    update_registered_converter(
        xgboost.XGBClassifier,
        "XGBoostXGBClassifier",
        calculate_linear_classifier_output_shapes,
        convert_xgboost,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    types = [(name, (StringTensorType if name in WORDS else FloatTensorType)([None, 1])) for name in x]
    options = {id(model): {"zipmap": False}}
    graph = convert_sklearn(model, initial_types=types, target_opset={"": 19, "ai.onnx.ml": 3}, options=options)
    content = graph.SerializeToString()
    difference = np.abs(ask(onnxruntime.InferenceSession(content), x) - model.predict_proba(x)[:, 1]).max()
    return content, float(difference)


def ask(session: onnxruntime.InferenceSession, x: pd.DataFrame) -> NDArray[np.float32]:
    """Return the probability of being late (n,) that the graph answers."""
    columns = {name: x[name].to_numpy().reshape(-1, 1) for name in x}
    return session.run(None, columns)[1][:, 1]


# --- the evidence -------------------------------------------------------------------------------------------------


def measures(y: NDArray[np.bool_], p: Floats) -> dict[str, float]:
    """Return eleven measures of answers (n,)."""
    tn, fp, fn, tp = confusion_matrix(y, p >= 0.5).ravel()  # noqa: PLR2004 (a half decides)
    bins = np.minimum((p * 10).astype(int), 9)
    gaps = np.abs(np.bincount(bins, weights=p - y, minlength=10)).sum() / len(y)
    recall, specificity = tp / (tp + fn), tn / (tn + fp)
    spread = np.sqrt(float(tp + fp) * float(tp + fn) * float(tn + fp) * float(tn + fn))
    return {
        "roc_auc": roc_auc_score(y, p),
        "average_precision": average_precision_score(y, p),
        "log_loss": log_loss(y, p),
        "brier": brier_score_loss(y, p),
        "calibration_error": gaps,
        "accuracy": (tp + tn) / len(y),
        "balanced_accuracy": (recall + specificity) / 2,
        "f1": 2 * tp / (2 * tp + fp + fn),
        "precision": tp / max(tp + fp, 1),
        "recall": recall,
        "mcc": (float(tp) * float(tn) - float(fp) * float(fn)) / max(spread, 1),
    }


def evidence(y: NDArray[np.bool_], p: Floats, groups: pd.Series, resamples: int) -> dict[str, dict[str, float]]:
    """Return each measure, and the gap of each group's ROC AUC from the whole, with 95 % bootstrap intervals."""
    random = np.random.default_rng(SEED)
    codes, names = pd.factorize(groups)

    def all_of(y: NDArray[np.bool_], p: Floats, codes: NDArray[np.int64]) -> dict[str, float]:
        found = measures(y, p)
        for code, name in enumerate(names):
            found[f"gap_{name}"] = found["roc_auc"] - roc_auc_score(y[codes == code], p[codes == code])
        return found

    values = all_of(y, p, codes)
    rows = (random.integers(len(y), size=len(y)) for _ in range(resamples))
    drawn = pd.DataFrame([all_of(y[each], p[each], codes[each]) for each in rows])
    ends = drawn.quantile([0.025, 0.975])
    return {name: {"value": values[name], "low": ends[name].iloc[0], "high": ends[name].iloc[1]} for name in values}


def behaviour(content: bytes, x: pd.DataFrame, y: NDArray[np.bool_], learned: pd.DataFrame) -> dict[str, bool]:
    """Return which of some things that any model must do this one does, on five hundred rows."""
    session = onnxruntime.InferenceSession(content)
    some = x.iloc[np.linspace(0, len(x) - 1, 500).astype(int)].reset_index(drop=True)
    truth = y[np.linspace(0, len(y) - 1, 500).astype(int)]
    base = ask(session, some)
    numbers = [name for name in some if name not in WORDS]
    single = np.concatenate([ask(session, some.iloc[[row]]) for row in range(50)])
    nudged = some.assign(**{name: some[name] * np.float32(1.01) for name in numbers})
    extremes = [some.assign(**{name: np.float32(end(x[name]))}) for name in numbers for end in (np.nanmin, np.nanmax)]
    missing = [some.assign(**{name: np.float32(np.nan)}) for name in numbers]
    known = ask(session, inputs(learned.iloc[np.linspace(0, len(learned) - 1, 500).astype(int)]))
    of_known = learned[TARGET].to_numpy()[np.linspace(0, len(learned) - 1, 500).astype(int)]
    errors = np.concatenate([np.abs(base - truth), np.abs(known - of_known)])
    return {
        "shape": base.shape == (500,),
        "range": bool(((base >= 0) & (base <= 1)).all()),
        "variation": bool(np.ptp(base) > 0),
        "determinism": bool((ask(session, some) == base).all()),
        "row order": bool(np.allclose(ask(session, some.iloc[::-1])[::-1], base)),
        "single rows": bool(np.allclose(single, base[:50])),
        "column order": bool(np.allclose(ask(session, some[some.columns[::-1]]), base)),
        "missing values": all(np.isfinite(ask(session, each)).all() for each in missing),
        "unseen categories": bool(np.isfinite(ask(session, some.assign(**dict.fromkeys(WORDS, "?")))).all()),
        "extremes": all(np.isfinite(ask(session, each)).all() for each in extremes),
        "perturbations": bool(((ask(session, nudged) >= 0.5) != (base >= 0.5)).mean() < 0.25),  # noqa: PLR2004 (by hand)
        "memory": bool(roc_auc_score(np.arange(1000) < 500, errors) < 0.85),  # noqa: PLR2004 (as above)
        "round trip": bool((ask(onnxruntime.InferenceSession(content), some) == base).all()),
    }


def importance(model: Pipeline, content: bytes, x: pd.DataFrame, y: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Return each column's mean SHAP value on 1,000 rows, and what shuffling it costs on 4,000."""
    some = x.iloc[np.linspace(0, len(x) - 1, 1000).astype(int)]
    matrix = xgboost.DMatrix(model[0].transform(some))
    shap = np.abs(model[1].get_booster().predict(matrix, pred_contribs=True)[:, :-1]).mean(axis=0)
    names = [name.split("__", 1)[1] for name in model[0].get_feature_names_out()]
    random, session = np.random.default_rng(SEED), onnxruntime.InferenceSession(content)
    rows = np.sort(random.permutation(len(x))[:4000])
    sample, truth = x.iloc[rows].reset_index(drop=True), y[rows]
    whole = roc_auc_score(truth, ask(session, sample))
    lost = {}
    for name in x:
        shuffled = sample.assign(**{name: random.permutation(sample[name])})
        lost[name] = whole - roc_auc_score(truth, ask(session, shuffled))
    return {name: {"shap": float(size), "loss": float(lost[name])} for name, size in zip(names, shap, strict=True)}


# --- the card, and the registry -----------------------------------------------------------------------------------


def card(folder: Path, y: NDArray[np.bool_], p: Floats, told: dict[str, object], sizes: dict[str, float]) -> None:
    """Write card.md and card.html, with five pictures in the page."""
    hits, alarms = roc_curve(y, p)[1], roc_curve(y, p)[0]
    precision, recall, thresholds = precision_recall_curve(y, p)
    true, predicted = calibration_curve(y, p, n_bins=10)
    pictures = []
    for draw in (
        lambda axes: axes.plot(alarms[::100], hits[::100]),
        lambda axes: axes.plot(predicted, true, marker="o"),
        lambda axes: (axes.plot(thresholds[::200], precision[:-1:200]), axes.plot(thresholds[::200], recall[:-1:200])),
        lambda axes: axes.hist([p[~y], p[y]], bins=30, density=True),
        lambda axes: axes.barh(list(sizes), list(sizes.values())),
    ):
        figure, buffer = Figure(figsize=(4.6, 3.4), layout="constrained"), io.StringIO()
        draw(figure.add_subplot())
        figure.savefig(buffer, format="svg")
        pictures.append(buffer.getvalue())
    text = json.dumps(told, indent=1, default=str)
    (folder / "card.md").write_text(f"# {MODEL}\n\n```json\n{text}\n```\n", encoding="utf-8")
    page = f"<h1>{MODEL}</h1><pre>{html.escape(text)}</pre>{''.join(pictures)}"
    (folder / "card.html").write_text(page, encoding="utf-8")


def last_reference() -> pd.DataFrame | None:
    """Return the sample of rows that the last version was trained on; None for the first."""
    known = mlflow.MlflowClient().search_model_versions(f"name='{MODEL}'", max_results=1)
    if not known:
        return None
    found = mlflow.artifacts.download_artifacts(run_id=known[0].run_id, artifact_path="files/reference.parquet")
    return pd.read_parquet(found)


def register(folder: Path, content: bytes, x: pd.DataFrame, p: Floats, told: dict[str, dict[str, float]]) -> None:
    """Log figures, files and data, and register the graph."""
    mlflow.log_params({**PARAMS, "seed": SEED})
    ends = {f"{name}_{end}": found[end] for name, found in told.items() for end in ("value", "low", "high")}
    mlflow.log_metrics({name: float(value) for name, value in ends.items()})
    mlflow.log_artifacts(str(folder), "files")
    mlflow.onnx.log_model(
        onnx.load_model_from_string(content),
        name="model",
        signature=infer_signature(x.head(100), p[:100]),
        registered_model_name=MODEL,
        pip_requirements=["onnxruntime"],
    )


def main(table: str, store: str, where: str, resamples: str = "200") -> None:
    """Train, judge and register."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment(MODEL)
    folder = Path(where)
    folder.mkdir(exist_ok=True)
    frame = SCHEMA.validate(pd.read_parquet(table), lazy=True).sort_values(TIME, ignore_index=True)
    digest = hashlib.sha256(pd.util.hash_pandas_object(frame).to_numpy().tobytes()).hexdigest()
    first, second = int(len(frame) * 0.6), int(len(frame) * 0.8)
    train, validation, test = frame.iloc[:first], frame.iloc[first:second], frame.iloc[second:]
    with mlflow.start_run():
        quality = rules(frame, train, frame.iloc[first:], last_reference())
        model = fit(train, validation)
        x, y = inputs(test).reset_index(drop=True), test[TARGET].to_numpy()
        content, difference = export(model, x)
        p = np.asarray(ask(onnxruntime.InferenceSession(content), x), dtype=np.float64)
        found = evidence(y, p, test["origin"], int(resamples))
        listens = importance(model, content, x, y)
        does = behaviour(content, x, y, train)
        told = {"data": digest, "quality": quality, "difference": difference, "behaviour": does, "measures": found}
        card(folder, y, p, told, {name: each["shap"] for name, each in listens.items()})
        for name, known in (("evidence", told), ("importance", listens)):
            (folder / f"{name}.json").write_text(json.dumps(known, default=str), encoding="utf-8")
        (folder / "pipeline.skops").write_bytes(skops.io.dumps(model[0]))
        model[1].save_model(folder / "booster.ubj")
        inputs(frame.iloc[:second].sample(5000, random_state=SEED)).to_parquet(folder / "reference.parquet")
        register(folder, content, x, p, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
