"""Bytes on the wire stay what they are: a replica of an older release can still read them.

Origin: written once by hand from the layout in ``memory/codec.py`` (head), MessagePack's
specification (meta) and IEEE 754 (vector), and compared with what ``codec.encode`` gave
when protocol 1 was fixed. A change here is a change of protocol: raise ``PROTOCOL`` or
``codec.VERSION``.
"""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs
from sync_network import same

from cellhive.core.records import Record, RecordKind, Version
from cellhive.memory import codec
from cellhive.memory import messages as m

RECORD = Record(
    "ns", "id", RecordKind.ACTION, np.array([1.0, -2.0], np.float32), {"k": ("t",)}, "w", b"pp",
    0.5, "o", Version(65536, "a~1", 7),
)  # fmt: skip
BODY = (
    "9d a26e73 a26964 03 02 02 81a16b91a174 a177 cb3fe0000000000000 a16f ce00010000 a3617e31 07 c2"
)

FACTS, HALF, TIME = "81a16b91a174", "000000000000e03f", "0000010000000000"
COLUMNS = (
    "9c a26e73 a3617e31 a16f 02 94a161a162a163a164 c40403030303 c410"
    + "02000000" * 4
    + "94"
    + FACTS * 4
    + "94"
    + "a177" * 4
    + "c420"
    + HALF * 4
    + "c420"
    + TIME * 4
    + "c420 0700000000000000 0800000000000000 0900000000000000 0a00000000000000"
)
"""Namespace, writer, origin, components, ids, kinds, payloads' sizes, facts, texts, numbers."""

FRAMES = {
    "columns": (
        "c1 02 0a 00 b7000000 20000000 08000000 93 01" + COLUMNS + "90"
        + "0000803f 000000c0" * 4 + "7070" * 4
    ),
    "record": ("c1 01 00 00 28000000 08000000 02000000" + BODY + "0000803f 000000c0 7070"),
    "push": (
        "c1 01 03 00 2c000000 08000000 02000000 93 01 91" + BODY + "90 0000803f 000000c0 7070"
    ),
    "ack": "c1 01 04 00 09000000 00000000 00000000 93 05 81a3617e3107 80",
    "ask": (
        "c1 01 05 00 15000000 00000000 00000000 95 a3627e31 02 81a3617e3107 08"
        "91 93 a3617e31 09 0b"
    ),
    "batch": (
        "c1 01 06 00 0f000000 00000000 00000000 96 a3627e31 02 01 90 81a3617e3107 c3"
    ),
}  # fmt: skip
MESSAGES: dict[str, m.Message] = {
    "columns": m.Push(
        1,
        tuple(
            structs.replace(RECORD, id=name, version=Version(65536, "a~1", number))
            for number, name in enumerate("abcd", 7)
        ),
    ),
    "push": m.Push(1, (RECORD,)),
    "ack": m.Ack(5, {"a~1": 7}, {}),
    "ask": m.Ask("b~1", 2, {"a~1": 7}, 8, (m.Run("a~1", 9, 11),)),
    "batch": m.Batch("b~1", 2, 1, (), {"a~1": 7}, complete=True),
}


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_messages_have_the_bytes_they_always_had(name: str) -> None:
    """Written and read, byte by byte."""
    frame = bytes.fromhex(FRAMES[name])
    assert codec.encode(MESSAGES[name]).hex(" ") == frame.hex(" ")
    found, told = codec.decode(frame), MESSAGES[name]
    assert isinstance(found, type(told))
    if isinstance(found, m.Push) and isinstance(told, m.Push):
        assert all(map(same, found.records, told.records))


def test_records_have_the_bytes_they_always_had() -> None:
    """What a log has kept can still be read."""
    frame = bytes.fromhex(FRAMES["record"])
    assert codec.encode_record(RECORD).hex(" ") == frame.hex(" ")
    assert same(codec.decode_record(frame), RECORD)
