"""How much a request may hold, and which numbers survive the float32 that models are served with."""

from typing import Final

from towpath_gitops.records.signature import Column

MAX_BODY_BYTES: Final = 8 * 2**20
MAX_ROWS: Final = 10_000
MAX_BULK_BYTES: Final = 64 * 2**20  # of an Arrow stream, and of its texts when each row has its own
MAX_BULK_ROWS: Final = 100_000
MAX_BULK_MESSAGES: Final = 1_000  # of a stream: batches of rows, dictionaries, and the schema
MAX_TEXT: Final = 1_000  # characters of one string value
MAX_NAME: Final = 200  # characters of a column's name
BODY_TIMEOUT_S: Final = 10.0  # for the whole body to arrive
MAX_HEAD_BYTES: Final = 65_536  # of a request's line and fields
HEAD_TIMEOUT_S: Final = 10.0  # for them to arrive, from the connection or the last answer on
FETCH_TIMEOUT_S: Final = 10.0  # in which so much of an answer must be fetched:
FETCHED_BYTES: Final = 65_536

FLOAT32_MAX: Final = 3.4028234663852886e38
EXACT_INTEGER: Final = float(2**24)  # the largest up to which float32 tells every integer from its neighbours


def wrong_with_name(name: object) -> str:
    """Return why a column cannot be called so; "" where it can. The parser of requests takes no quote or backslash."""
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
        return f"its name is no text of 1 to {MAX_NAME} characters"
    if not name.isprintable():
        return "its name holds letters that cannot be printed"
    return 'its name holds " or \\, which the service cannot read in requests' if {'"', "\\"} & {*name} else ""


def bounds(column: Column) -> tuple[float, float]:
    """Return the least and the greatest number that the column takes: the owner's limits, within float32's."""
    widest = EXACT_INTEGER if column.type == "integer" else FLOAT32_MAX
    low = -widest if column.minimum is None else max(-widest, column.minimum)
    high = widest if column.maximum is None else min(widest, column.maximum)
    return low, high
