"""What many people write: rows of a Parquet file become a registered model, with pandas, XGBoost and MLflow alone.

Usage: by_hand.py TABLE STORE. It is the peer in training.py: the same rows, columns, split, rounds and threads.
"""

import sys

import mlflow
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.preprocessing import OrdinalEncoder

LEFT_OUT = ["late", "dep_delay", "flight_id", "scheduled_at"]
WORDS = ["carrier", "origin", "dest"]
ROUNDS, PATIENCE, SEED = 400, 30, 7


def main(table: str, store: str) -> None:
    """Train, measure and register."""
    frame = pd.read_parquet(table).sort_values("scheduled_at")
    first, second = int(len(frame) * 0.6), int(len(frame) * 0.8)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(frame[WORDS].iloc[:first])
    columns = frame.drop(columns=LEFT_OUT)
    columns[WORDS] = encoder.transform(frame[WORDS])
    columns, late = columns.astype("float32"), frame["late"]
    rounds = xgboost.XGBClassifier(n_estimators=ROUNDS, early_stopping_rounds=PATIENCE, random_state=SEED)
    unseen = (columns.iloc[first:second], late.iloc[first:second])
    rounds.fit(columns.iloc[:first], late.iloc[:first], eval_set=[unseen], verbose=False)
    model = xgboost.XGBClassifier(n_estimators=rounds.best_iteration + 1, random_state=SEED)
    model.fit(columns.iloc[:second], late.iloc[:second])
    answers, truth = model.predict_proba(columns.iloc[second:])[:, 1], late.iloc[second:]
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("by-hand")
    with mlflow.start_run():
        mlflow.log_params({"rounds": rounds.best_iteration + 1, "seed": SEED})
        measures = (roc_auc_score, average_precision_score, log_loss, brier_score_loss)
        mlflow.log_metrics({measure.__name__: float(measure(truth, answers)) for measure in measures})
        mlflow.xgboost.log_model(
            model,
            name="model",
            signature=infer_signature(columns.head(100), answers[:100]),
            registered_model_name="by-hand",
            pip_requirements=["xgboost"],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
