"""The drills' data: barges that arrive late for reasons that a small model can learn."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

ROWS: Final = 6000


def barges(*, seed: int = 7, rows: int = ROWS) -> "pd.DataFrame":
    """Return `rows` barges, one every ten minutes; the same seed gives the same bytes.

    `late` follows distance (km), locks, wind (m/s; one in ten is missing) and cargo, with some luck; `answer` follows
    `late` and is the leak that model.yaml excludes.
    """
    import numpy as np  # noqa: PLC0415 (heavy: not for the command line's start)
    import pandas as pd  # noqa: PLC0415 (as above)

    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "barge": [f"barge-{number:05d}" for number in range(rows)],
            "at": pd.date_range("2026-01-01", periods=rows, freq="10min", tz="UTC").as_unit("us"),
            "cargo": random.choice(["coal", "grain", "timber"], rows),
            "distance": random.uniform(1, 100, rows).round(1),
            "wind": np.where(random.random(rows) < 0.1, np.nan, random.gamma(2, 3, rows).round(1)),  # noqa: PLR2004 (the share that the docstring names)
            "locks": random.integers(0, 20, rows),
        }
    )
    frame["late"] = random.random(rows) < _chance(frame)
    frame["answer"] = frame["late"] * 10.0 + random.normal(0, 1, rows).round(3)
    return frame


def _chance(frame: "pd.DataFrame") -> "np.ndarray":
    import numpy as np  # noqa: PLC0415 (as above)

    burden = frame["distance"] / 20 + frame["locks"] / 4 + frame["wind"].fillna(0) / 6 + 2 * (frame["cargo"] == "coal")
    return np.asarray(1 / (1 + np.exp(-2 * (burden - burden.median()))))
