"""Noted answers of one release become rows of Parquet, without what nobody may read."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towpath_bento.columns import Places
from towpath_bento.journal import names
from towpath_bento.journal.entry import Noted
from towpath_bento.journal.keys import hashed, is_readable
from towpath_bento.wire import decisions
from towpath_gitops.records.signature import Signature

_MICROSECONDS: Final = 1_000_000
_TIME: Final = pa.timestamp("us", tz="UTC")


def to_table(noted: Sequence[Noted], secret: bytes | None) -> pa.Table:
    """Return the rows of answers that one release gave.

    Inputs that are sensitive are left out, and all of them where the release's signature does not say which are. A key
    that may not be read is written as a hash with `secret`, and without one not at all.
    """
    signature = noted[0].lane.codec.signature
    sizes = [len(each.values) for each in noted]
    values = np.concatenate([each.values for each in noted])
    keys = [_key(each.entity, _hide(signature, secret)) for each in noted]
    columns = {
        names.TIME: pa.array(_spread([round(each.at_s * _MICROSECONDS) for each in noted], sizes)).cast(_TIME),
        names.REQUEST: _texts([each.request for each in noted], sizes),
        names.ROW: pa.array(np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])),
        names.LANE: _texts([each.name for each in noted], sizes),
        names.RELEASE: _texts([each.lane.release for each in noted], sizes),
        names.ENTITY: _texts(keys, sizes),
        **_answers(signature, values),
        **_inputs(signature, noted),
    }
    return pa.table(columns)


def _hide(signature: Signature, secret: bytes | None) -> Callable[[str], str | None]:
    if is_readable(signature):
        return str
    return (lambda entity: hashed(entity, secret)) if secret else (lambda _: None)


def _key(entity: str | None, hide: Callable[[str], str | None]) -> str | None:
    return None if entity is None else hide(entity)


def _answers(signature: Signature, values: NDArray[Any]) -> dict[str, pa.Array]:
    decided = decisions(signature, values)
    said = values[np.arange(len(values)), decided] if signature.task == "multiclass" else values[:, 0]
    labels = np.array(signature.classes or (None,), dtype=object)[decided]
    return {
        names.PREDICTION: pa.array(said.astype(np.float64), from_pandas=True),
        names.LABEL: pa.array(labels, pa.string()),
    }


def _inputs(signature: Signature, noted: Sequence[Noted]) -> dict[str, pa.Array]:
    if signature.sensitive is None:
        return {}
    places, hidden = Places(signature), set(signature.sensitive)
    numbers = np.concatenate([each.columns.numbers for each in noted])
    texts = np.concatenate([each.columns.texts for each in noted])
    made = {
        name: pa.array(np.ascontiguousarray(numbers[:, place]), from_pandas=True)
        for place, name in enumerate(places.numbers)
        if name not in hidden
    }
    made |= {
        name: pa.array(texts[:, place].tolist(), pa.string())
        for place, name in enumerate(places.texts)
        if name not in hidden
    }
    return {name: made[name] for name in places.names if name in made}


def _texts(values: Sequence[str | None], sizes: Sequence[int]) -> pa.Array:
    """Repeat each request's text for its rows; a table of the different ones keeps that cheap."""
    indices = np.repeat(np.arange(len(values), dtype=np.int32), sizes)
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(values, pa.string())).cast(pa.string())


def _spread(values: Sequence[int], sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.repeat(np.array(values, dtype=np.int64), sizes)
