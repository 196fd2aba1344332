"""`towpath up`."""

from towpath_ci.console import next_step, say, working
from towpath_ci.lazy import verb
from towpath_ci.workspace import Workspace

app = verb()


@app.command(epilog="Example: towpath up")
def up() -> None:
    """Start the pages of Prefect and MLflow; print the addresses.

    They listen on this machine only and run on until `towpath down`. With PREFECT_API_URL or MLFLOW_TRACKING_URI set,
    yours are used and named.
    """
    from towpath_flows.server import ensure_api, ensure_mlflow  # noqa: PLC0415 (only this verb starts servers)

    root = Workspace.here().root
    with working("Starting Prefect's server (about 15 s the first time)"):
        prefect = ensure_api(root).removesuffix("/api")
    with working("Starting MLflow's page"):
        mlflow = ensure_mlflow(root)
    say(f"Prefect  {prefect}")
    say(f"MLflow   {mlflow}")
    next_step("towpath down")
