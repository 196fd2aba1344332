"""How columns become features. Leave `features` out of model.yaml and Towpath derives them from the schema."""

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.preprocessing import OrdinalEncoder


def build() -> ColumnTransformer:
    """Return the transformer, unfitted: numbers as they are, each word as its place in the alphabet, -1 for a new one.

    Trees split such codes as they need and have a branch for missing numbers. Use scikit-learn's own transformers, or
    those of towpath_flows.transformers (waves of time, logs, ratios, limits, buckets, rare words, target means): they
    become part of the graph that is served. A class or function of your own below src/ cannot: its code then goes with
    each release, which serves slower and says so (docs/training.md, Features).
    """
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.float32)
    numbers = ("numbers", "passthrough", make_column_selector(dtype_include="number"))
    return ColumnTransformer([numbers, ("words", words, make_column_selector(dtype_exclude="number"))])
