"""What decisions about barges are worth."""

from typing import Any


def saved(truth: Any, decided: Any) -> Any:  # noqa: ANN401 (arrays of truths, one for each barge)
    """Return the euros that each decision saves: a late barge that is foreseen 2, a crew that waits in vain costs 3."""
    return 2.0 * (truth & decided) - 3.0 * (~truth & decided)
