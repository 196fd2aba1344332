"""Run the command line with `python -m towpath_ci`, where the script `towpath` is not on the PATH."""

from towpath_ci.main import app

app(prog_name="towpath")
