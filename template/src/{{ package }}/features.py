"""How columns become features. Leave `features` out of model.yaml and Towpath derives this from the schema."""

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.preprocessing import OneHotEncoder


def build() -> ColumnTransformer:
    """Return the transformer, unfitted: numbers as they are (trees need no scaling), words one column per value.

    Values that training saw fewer than 50 times, or never, share one column.
    """
    words = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50, sparse_output=False)
    numbers = ("numbers", "passthrough", make_column_selector(dtype_include="number"))
    return ColumnTransformer([numbers, ("words", words, make_column_selector(dtype_exclude="number"))])
