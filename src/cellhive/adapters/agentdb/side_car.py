"""The JSON files beside the package's vector files: ids, labels, metadata, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cellhive.adapters.agentdb.fields import Facts, add_value, metadata_of, usable
from cellhive.adapters.agentdb.relational import LONGEST_ID
from cellhive.adapters.agentdb.source import Reading, Tally
from cellhive.adapters.files import read_bounded
from cellhive.core.errors import BadInput
from cellhive.core.records import Record
from cellhive.core.types import Floats32

MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class SideCar:
    """What a side-car says."""

    name: str = ""
    """Of the file; empty where there is none."""
    ids: Mapping[int, str] = field(default_factory=dict)
    """Id of each label."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Metadata as JSON, by id."""
    config: Mapping[str, Any] = field(default_factory=dict)


def read_side_car(path: Path, tally: Tally) -> SideCar:
    """Read a side-car; its absence is a remark, as vectors without ids are still vectors.

    Raises:
        BadInput: It is there and cannot be read.
    """
    if not path.exists():
        tally.remark(path.name, "not there: records are called by their labels, label/0 and on")
        return SideCar()
    data = read_bounded(path, max_bytes=MOST_BYTES)
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(
            place=str(path), expected="JSON", found=str(error), remedy="fetch the file again"
        ) from error
    labels = content.get("idToLabel") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        raise BadInput(place=str(path), expected="an object with idToLabel", found="none")
    ids: dict[int, str] = {}
    for name, label in labels.items():
        fine = (
            isinstance(label, int) and not isinstance(label, bool) and 0 < len(name) <= LONGEST_ID
        )
        if fine and label not in ids:
            ids[label] = name
        else:
            tally.damaged(path.name, "ids with no label of their own")
    metadata, config = content.get("metadata"), content.get("config")
    return SideCar(
        path.name, ids, metadata if isinstance(metadata, dict) else {},
        config if isinstance(config, dict) else {},
    )  # fmt: skip


def labelled(label: int, vector: Floats32, car: SideCar, reading: Reading, tally: Tally) -> Record:
    """Return the record of a vector that the vector file knows by a number."""
    name = car.ids.get(label)
    if name is None:
        name = f"label/{label}"
        if car.name:
            tally.remark(car.name, "vectors without an id there; called by their labels")
    facts = Facts("vector")
    facts.metadata["table"] = "vectors"
    if (own := car.metadata.get(name)) is not None:
        add_value(facts, "metadata", own, msgspec.json.encode(own).decode())
    found, reason = usable(vector)
    if reason:
        tally.damaged("vectors", f"embedding {reason}; its record arrives without a vector")
    return Record(
        namespace=reading.namespace, id=name, kind=reading.kind, vector=found,
        metadata=metadata_of(facts), payload=facts.payload(), origin=reading.origin,
    )  # fmt: skip


def check_all_came(car: SideCar, came: set[int], tally: Tally) -> None:
    """Say how many ids have no vector."""
    missing = sum(label not in came for label in car.ids)
    tally.damaged(car.name, "ids whose vectors are not in the vector file", missing)
