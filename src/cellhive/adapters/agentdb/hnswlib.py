"""Reads the vectors of an hnswlib index file, without hnswlib.

Layout as hnswlib 0.8 writes it (``HierarchicalNSW::saveIndex``), little-endian, 64-bit: a
header of 96 bytes; for each element its level-0 links, its vector, and its label; then for
each element the size of its links on higher levels, and those links. The graph itself is
not needed: an index is built anew.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cellhive.adapters.agentdb.relational import METRICS, MOST_COMPONENTS
from cellhive.adapters.agentdb.side_car import Labels, read_side_car
from cellhive.adapters.agentdb.source import Reading, Source, Tally
from cellhive.core.errors import BadInput
from cellhive.core.records import Metric, Namespace, Record

HEADER = struct.Struct("<6QiI3QdQ")
"""Offset of level 0, capacity, elements, bytes per element, offsets of label and vector,
highest level, entry point, links above and on level 0, M, level factor, efConstruction."""
LABEL_BYTES = 8
LINK_BYTES = 4
DELETED = 1
DELETED_AT = 2
"""Byte of an element that says whether it was deleted."""
BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class Header:
    """What the first bytes of an index say, checked against one another."""

    elements: int
    element_bytes: int
    label_at: int
    vector_at: int
    links: int
    """Most links of an element on a level above 0."""

    @property
    def dimension(self) -> int:
        """Components D of every vector."""
        return (self.label_at - self.vector_at) // 4

    @property
    def graph_at(self) -> int:
        """Where the links of higher levels begin [bytes]."""
        return HEADER.size + self.elements * self.element_bytes


def header_of(head: bytes) -> Header | None:
    """Return the header of an index file; None where it is not one."""
    if len(head) < HEADER.size:
        return None
    level0, capacity, elements, size, label_at, vector_at, top, _, most, most0, m, _, _ = (
        HEADER.unpack_from(head)
    )
    header = Header(elements, size, label_at, vector_at, most)
    consistent = (
        level0 == 0
        and elements <= capacity
        and -1 <= top < 100  # noqa: PLR2004 - levels fall off exponentially
        and 1 <= m <= most <= most0 <= 1 << 20
        and vector_at == most0 * LINK_BYTES + LINK_BYTES
        and size == label_at + LABEL_BYTES
        and label_at > vector_at
        and (label_at - vector_at) % 4 == 0
        and header.dimension <= MOST_COMPONENTS
    )
    return header if consistent else None


def looks_like(head: bytes, size: int) -> bool:
    """Return whether a file of ``size`` bytes may be an index; the format has no magic number."""
    return size >= HEADER.size and header_of(head) is not None


def open_hnswlib(reading: Reading) -> Source:
    """Look into an index file and the ``.mappings.json`` beside it.

    Raises:
        BadInput: It is cut within its vectors, or the side-car contradicts it.
    """
    path, tally = reading.path, Tally()
    with path.open("rb") as file:
        header = header_of(file.read(HEADER.size))
    size = path.stat().st_size
    if header is None or size < header.graph_at:
        told = "less" if header is None else f"{header.graph_at:,} bytes of vectors"
        raise BadInput(
            place=str(path), expected=told, found=f"{size:,} bytes: the file is cut",
            remedy="fetch it again",
        )  # fmt: skip
    car = read_side_car(path.with_name(f"{path.name}.mappings.json"), tally)
    config = {key: car.config.get(key) for key in ("dimension", "dimensions")}
    for key, value in config.items():
        if value is not None and value != header.dimension:
            raise BadInput(
                place=f"{path}.mappings.json, config.{key}", found=repr(value)[:40],
                expected=f"{header.dimension} as in the index", remedy="the two do not belong "
                "together: fetch both again",
            )  # fmt: skip
    metric = METRICS.get(str(car.config.get("metric", "cosine")).lower(), Metric.COSINE)
    if metric is Metric.COSINE:
        tally.remark("vectors", "the package keeps them scaled to length 1 under cosine")
    _check_graph(path, header, tally)
    return Source(
        form="agentdb 3.x hnswlib index",
        namespaces=(Namespace(reading.namespace, header.dimension, metric),),
        expected=header.elements,
        records=partial(_records, header, Labels(car, reading, metric, tally)),
        tally=tally,
    )


def _check_graph(path: Path, header: Header, tally: Tally) -> None:
    """Walk the links of higher levels: a file that ends elsewhere was cut or is another's."""
    step = header.links * LINK_BYTES + LINK_BYTES
    size, at = path.stat().st_size, header.graph_at
    with path.open("rb") as file:
        file.seek(at)
        for _ in range(header.elements):
            data = file.read(4)
            at += 4
            links = int.from_bytes(data, "little")
            if len(data) < 4 or links % step or at + links > size:  # noqa: PLR2004 - a u32
                break
            at += links
            if links:
                file.seek(at)
        else:
            if at == size:
                return
    tally.damaged("graph", "the links after the vectors are cut; vectors are complete")


def _records(header: Header, labels: Labels) -> Iterator[Record]:
    tally = labels.tally
    layout = np.dtype(
        {
            "names": ["mark", "vector", "label"],
            "formats": ["u1", ("<f4", (header.dimension,)), "<u8"],
            "offsets": [DELETED_AT, header.vector_at, header.label_at],
            "itemsize": header.element_bytes,
        }
    )
    batch = max(BATCH_BYTES // header.element_bytes, 1)
    with labels.reading.path.open("rb") as file:
        file.seek(HEADER.size)
        for start in range(0, header.elements, batch):
            count = min(batch, header.elements - start)
            data = file.read(count * header.element_bytes)
            whole = len(data) // header.element_bytes
            tally.damaged("vectors", "the file ends before them", count - whole)
            for element in np.frombuffer(data, layout, whole):
                label = int(element["label"])
                if element["mark"] & DELETED:
                    tally.left_out("vectors", "marked as deleted")
                elif label in labels.came:
                    tally.damaged("vectors", "labels that another vector has")
                    continue
                else:
                    vector = element["vector"].astype(np.float32)
                    yield labels.record(label, vector)
                labels.came.add(label)
            if whole < count:
                break
    labels.finish()
