"""Reads the package's native ``.rvf`` files: segments that are only ever appended.

Every segment has a header of 64 bytes (magic, version, type, number, payload length, a check
sum made of the rotations of a CRC-32) and a payload. The last intact manifest says which
segments count and which vectors were deleted; vectors written after it were never
acknowledged. Metadata is not in the file: the package drops it. Ids are in ``.idmap.json``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cellhive.adapters.agentdb.relational import MOST_COMPONENTS, USUAL_DIMENSION
from cellhive.adapters.agentdb.side_car import Labels, read_side_car
from cellhive.adapters.agentdb.source import Reading, Source, Tally
from cellhive.core.errors import BadInput
from cellhive.core.records import Metric, Namespace, Record
from cellhive.core.types import Floats32

MAGIC = b"SFVR"
SEGMENT = struct.Struct("<4sBBHQQ16x16s8x")
"""Magic, version, type, flags, number, payload length, check sum."""
VECTORS, JOURNAL, MANIFEST = 1, 4, 5
VECTOR_HEAD = struct.Struct("<HI")
MANIFEST_HEAD = struct.Struct("<IHQIBBxx")
"""Epoch, dimension, vectors, segments, profile, metric."""
ENTRY = struct.Struct("<QQQB")
"""Number, offset, payload length and type of a segment."""
MOST_PAYLOAD_BYTES = 1 << 30
MOST_SEGMENTS = 5_000_000
METRIC_CODES = {1: Metric.INNER_PRODUCT, 2: Metric.COSINE}


@dataclass(frozen=True)
class Segment:
    """Where one segment lies."""

    type: int
    at: int
    """Of its payload [bytes]."""
    length: int
    check: bytes


@dataclass(frozen=True)
class Manifest:
    """Which segments count."""

    at: int
    metric: int
    starts: frozenset[int]
    """Where the counting segments begin [bytes]."""
    deleted: frozenset[int]
    """Labels of vectors that are gone."""


def checksum(payload: bytes) -> bytes:
    """Return the check sum of a payload: its CRC-32, rotated by 0, 8, 16 and 24 bits."""
    crc = zlib.crc32(payload)
    turns = ((crc << bits | crc >> (32 - bits)) & 0xFFFFFFFF for bits in (0, 8, 16, 24))
    return b"".join(turn.to_bytes(4, "little") for turn in turns)


def open_native(reading: Reading) -> Source:
    """Look into a native file and the ``.idmap.json`` beside it.

    Raises:
        BadInput: No intact segment of vectors is in it.
    """
    path, tally = reading.path, Tally()
    segments = _segments(path, tally)
    with path.open("rb") as file:
        manifest = _last_manifest(file, segments, tally)
        vectors = [each for each in segments if each.type == VECTORS]
        if manifest is not None:
            counting = [s for s in vectors if s.at - SEGMENT.size in manifest.starts]
            tally.left_out(
                "segments", "vectors that the last manifest does not count: replaced, or "
                "never acknowledged", len(vectors) - len(counting),
            )  # fmt: skip
            absent = manifest.starts - {s.at - SEGMENT.size for s in segments}
            tally.damaged("segments", "named in the manifest and not in the file", len(absent))
            vectors = counting
        sizes = [_size(file, each) for each in vectors]
    dimensions = sorted({dimension for dimension, count in sizes if count})
    if len(dimensions) > 1:
        raise BadInput(
            place=str(path), expected="vectors of one dimension", found=f"{dimensions}",
            remedy="fetch the file again",
        )  # fmt: skip
    if not dimensions and any(s.type == VECTORS for s in segments) and manifest is None:
        raise BadInput(
            place=str(path), expected="an intact segment of vectors", found="none",
            remedy="fetch the file again",
        )  # fmt: skip
    car = read_side_car(path.with_name(f"{path.name}.idmap.json"), tally)
    tally.remark("metadata", "not in such files: the package drops it when it writes them")
    dimension = dimensions[0] if dimensions else USUAL_DIMENSION
    metric = METRIC_CODES.get(manifest.metric if manifest else 0, Metric.COSINE)
    if manifest is None or manifest.metric not in METRIC_CODES:
        tally.remark("manifest", "names no metric; taken for cosine, the package's default")
    return Source(
        form="agentdb 3.x native .rvf",
        namespaces=(Namespace(reading.namespace, dimension, metric),),
        expected=sum(count for _, count in sizes),
        records=partial(_records, vectors, manifest, Labels(car, reading, metric, tally)),
        tally=tally,
    )


def _segments(path: Path, tally: Tally) -> list[Segment]:
    """Return the segments from the start of a file, as far as they are in one piece."""
    size, at = path.stat().st_size, 0
    found: list[Segment] = []
    with path.open("rb") as file:
        while at + SEGMENT.size <= size and len(found) < MOST_SEGMENTS:
            file.seek(at)
            head = file.read(SEGMENT.size)
            magic, version, kind, _, _, length, check = SEGMENT.unpack(head)
            if magic != MAGIC:
                aligned = -at % 64
                if aligned and head[:aligned].strip(b"\0") == b"":
                    at += aligned  # some writers begin segments on multiples of 64 bytes
                    continue
                break
            if version != 1 or length > min(MOST_PAYLOAD_BYTES, size - at - SEGMENT.size):
                break
            found.append(Segment(kind, at + SEGMENT.size, length, check))
            at += SEGMENT.size + length
        file.seek(at)
        rest = size - at
        if rest and file.read(min(rest, 64)).strip(b"\0"):
            tally.damaged("segments", f"the file breaks at byte {at:,}; bytes after it", rest)
    return found


def _payload(file: BinaryIO, segment: Segment) -> bytes | None:
    """Return the payload of a segment; None where its check sum is another."""
    file.seek(segment.at)
    data = file.read(segment.length)
    checked = segment.check.strip(b"\0") == b"" or segment.check == checksum(data)
    return data if checked and len(data) == segment.length else None


def _size(file: BinaryIO, segment: Segment) -> tuple[int, int]:
    """Return dimension and number of the vectors of a segment; no vectors where it is broken."""
    file.seek(segment.at)
    head = file.read(VECTOR_HEAD.size)
    if segment.length < VECTOR_HEAD.size or len(head) < VECTOR_HEAD.size:
        return 0, 0
    dimension, count = VECTOR_HEAD.unpack(head)
    fits = VECTOR_HEAD.size + count * (8 + 4 * dimension) <= segment.length
    return (dimension, count) if fits and 0 < dimension <= MOST_COMPONENTS else (0, 0)


def _last_manifest(file: BinaryIO, segments: list[Segment], tally: Tally) -> Manifest | None:
    for segment in reversed(segments):
        if segment.type != MANIFEST:
            continue
        data = _payload(file, segment)
        manifest = None if data is None else _manifest(data, segment.at)
        if manifest is not None:
            return manifest
        tally.damaged("manifest", "a damaged one; the one before it is used")
    tally.damaged("manifest", "none: all vectors are taken, deleted ones too")
    return None


def _manifest(data: bytes, at: int) -> Manifest | None:
    if len(data) < MANIFEST_HEAD.size:
        return None
    _, _, _, count, _, metric = MANIFEST_HEAD.unpack_from(data)
    offset = MANIFEST_HEAD.size
    if offset + count * ENTRY.size + 4 > len(data):
        return None
    starts = frozenset(
        ENTRY.unpack_from(data, offset + index * ENTRY.size)[1] for index in range(count)
    )
    offset += count * ENTRY.size
    deleted = int.from_bytes(data[offset : offset + 4], "little")
    if offset + 4 + 8 * deleted > len(data):
        return None
    labels = np.frombuffer(data, "<u8", deleted, offset + 4)
    return Manifest(at, metric, starts, frozenset(labels.tolist()))


def _vectors(
    reading: Reading, segments: list[Segment], tally: Tally
) -> Iterator[tuple[int, Floats32]]:
    """Yield labels and vectors, newest segment first."""
    with reading.path.open("rb") as file:
        for segment in reversed(segments):
            dimension, count = _size(file, segment)
            data = _payload(file, segment)
            if data is None or not dimension:
                tally.damaged(
                    "vectors", "in a segment whose check sum or size is wrong", max(count, 1)
                )
                continue
            layout = np.dtype([("label", "<u8"), ("vector", "<f4", (dimension,))])
            for each in np.frombuffer(data, layout, count, VECTOR_HEAD.size)[::-1]:
                yield int(each["label"]), each["vector"].astype(np.float32)


def _records(
    segments: list[Segment], manifest: Manifest | None, labels: Labels
) -> Iterator[Record]:
    deleted = manifest.deleted if manifest else frozenset()
    for label, vector in _vectors(labels.reading, segments, labels.tally):
        if label in deleted:
            labels.tally.left_out("vectors", "deleted")
        elif label in labels.came:
            labels.tally.left_out("vectors", "replaced by a later one of the same label")
        else:
            yield labels.record(label, vector)
        labels.came.add(label)
    labels.finish()
