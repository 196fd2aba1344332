"""The columns of a journal beside the model's inputs, under names that no column of an owner's table has.

Inputs are kept as they were served, like in a release's reference sample: float32 with null for missing, or text with
"" for missing. One file holds the rows of one release.
"""

from typing import Final

TIME: Final = "towpath:time"  # when the answer was given, UTC
REQUEST: Final = "towpath:request"  # the request's id, as its answer's header x-request-id says it
ROW: Final = "towpath:row"  # number of the row in its request, from 0
LANE: Final = "towpath:lane"  # champion, challenger or shadow
RELEASE: Final = "towpath:release"
ENTITY: Final = "towpath:entity"  # the key that the caller sent; a keyed hash of it where it may not be read
PREDICTION: Final = "towpath:prediction"  # probability of the second class, or of the label's; regression: value
LABEL: Final = "towpath:label"  # null for regression

SUFFIX: Final = ".parquet"
FILE_S: Final = 3600.0  # after which a file is finished, however few rows it holds
