"""The messages of an Arrow IPC stream, looked at before Arrow reads them.

Compressed buffers say themselves how large they become: a few bytes can ask for more memory than there is. And each
message costs time, even one without rows. Arrow has no limit for either, so such streams are found here, by the few
fields of the format that tell (https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format).
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from flatbuffers import encode, number_types
from flatbuffers.table import Table

_CONTINUATION: Final = 0xFFFF_FFFF
# Where a table's list of fields says that a field lies: the first at 4, each two bytes further.
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 6, 8, 10  # of a Message
_DATA: Final = 6  # of a DictionaryBatch: its RecordBatch
_COMPRESSION: Final = 10  # of a RecordBatch
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


class Looked(NamedTuple):
    """What the messages of a stream tell."""

    compressed: bool  # whether any buffers are
    messages: int  # how many there are: one for the schema, each batch of rows and each dictionary


def look(stream: bytes, most: int) -> Looked:
    """Return what the messages of an Arrow IPC stream tell, of `most` + 1 at the most.

    Raises:
        ValueError: it is no such stream.
    """
    try:
        compressed = [_compresses(message) for message, _ in islice(_messages(stream), most + 1)]
    except (struct.error, IndexError, TypeError, OverflowError) as error:
        message = "its messages cannot be told apart"
        raise ValueError(message) from error
    return Looked(any(compressed), len(compressed))


def _messages(stream: bytes) -> Iterator[tuple[Table, int]]:
    place = 0
    while place + 8 <= len(stream):
        mark, length = struct.unpack_from("<II", stream, place)
        if mark != _CONTINUATION:
            message = "it does not begin with a message"
            raise ValueError(message)
        if length == 0:
            return
        start = place + 8
        message = _root(stream[start : start + length])
        body = _number(message, _BODY_LENGTH)
        if body < 0:
            raise ValueError("a message has a negative length")
        yield message, body
        place = start + length + body


def _root(metadata: bytes) -> Table:
    return Table(metadata, encode.Get(number_types.UOffsetTFlags.packer_type, metadata, 0))


def _number(table: Table, field: int) -> int:
    offset = table.Offset(field)
    return int(table.Get(number_types.Int64Flags, table.Pos + offset)) if offset else 0


def _compresses(message: Table) -> bool:
    kind = message.Offset(_HEADER_TYPE)
    header = message.Offset(_HEADER)
    if not kind or not header:
        return False
    number = message.Get(number_types.Uint8Flags, message.Pos + kind)
    if number not in {_DICTIONARY_BATCH, _RECORD_BATCH}:
        return False
    batch = Table(message.Bytes, message.Indirect(message.Pos + header))
    if number == _DICTIONARY_BATCH:
        data = batch.Offset(_DATA)
        if not data:
            return False
        batch = Table(message.Bytes, batch.Indirect(batch.Pos + data))
    return bool(batch.Offset(_COMPRESSION))
