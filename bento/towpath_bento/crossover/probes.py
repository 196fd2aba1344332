"""Rows on which two engines must agree and are timed: golden ones, mixed, and what callers send but training lacked."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from towpath_bento.columns import Blocks, Places
from towpath_gitops.records.signature import Column, Signature

UNSEEN: Final = "never seen in training"
_SHARE: Final = 0.05  # of the cells, each: missing, unseen, at an end of what training saw


def probes(signature: Signature, known: Sequence[Blocks], rows: int) -> Blocks:
    """Return `rows` rows made of the valid rows `known`; the same for the same arguments.

    Each cell is that of some known row. Where callers may leave a column out, a twentieth of its cells are missing;
    where any text may come, as many were never seen; numbers lie at the ends of training's range as often, which trees
    do not pass in a sample. The first row misses all that it may.
    """
    random, places = np.random.default_rng(7), Places(signature)
    columns = {column.name: column for column in signature.inputs}
    numbers = _mixed(random, np.concatenate([each.numbers for each in known]), rows)
    texts = _mixed(random, np.concatenate([each.texts for each in known]), rows)
    for place, name in enumerate(places.numbers):
        _replace_numbers(random, numbers[:, place], columns[name])
    for place, name in enumerate(places.texts):
        _replace_texts(random, texts[:, place], columns[name])
    return Blocks(places, numbers, texts)


def _mixed(random: np.random.Generator, known: NDArray[Any], rows: int) -> NDArray[Any]:
    drawn = random.integers(0, len(known), (rows, known.shape[1]))
    return np.take_along_axis(known, drawn, axis=0)


def _replace_numbers(random: np.random.Generator, values: NDArray[Any], column: Column) -> None:
    seen = column.seen
    ends = [] if seen is None else [end for end in (seen.minimum, seen.maximum) if end is not None]
    if ends and column.type != "boolean":
        chosen = random.random(len(values)) < _SHARE
        values[chosen] = random.choice(ends, int(chosen.sum()))
    if column.nullable:
        values[_some(random, len(values))] = np.nan


def _replace_texts(random: np.random.Generator, values: NDArray[Any], column: Column) -> None:
    if column.categories is None:
        values[random.random(len(values)) < _SHARE] = UNSEEN
    if column.nullable:
        values[_some(random, len(values))] = ""


def _some(random: np.random.Generator, rows: int) -> NDArray[np.bool_]:
    chosen = random.random(rows) < _SHARE
    chosen[0] = True
    return chosen
