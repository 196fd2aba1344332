"""From data to a registered release: load, validate, tune, train, evaluate, register; and monitor."""

import os

# XGBoost, LightGBM and scikit-learn share work among OpenMP threads that wait for each other in a busy loop. On cores
# that others use as well (a service, a second test process) that made fits eight times slower; waiting threads sleep
# instead. Read when these libraries are loaded, hence here; what the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
