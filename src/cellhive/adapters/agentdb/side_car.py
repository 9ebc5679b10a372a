"""The JSON files beside the package's vector files: ids, labels, metadata, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cellhive.adapters.agentdb.fields import Facts, add_value, metadata_of, usable
from cellhive.adapters.agentdb.relational import is_name
from cellhive.adapters.agentdb.source import Reading, Tally
from cellhive.adapters.files import read_bounded
from cellhive.core.errors import BadInput
from cellhive.core.records import Metric, Record
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
        whole = isinstance(label, int) and not isinstance(label, bool)
        if whole and is_name(name) and label not in ids:
            ids[label] = name
        else:
            tally.damaged(path.name, "ids with no label of their own")
    metadata, config = content.get("metadata"), content.get("config")
    return SideCar(
        path.name, ids, metadata if isinstance(metadata, dict) else {},
        config if isinstance(config, dict) else {},
    )  # fmt: skip


@dataclass
class Labels:
    """Makes records of vectors that a file knows by numbers."""

    car: SideCar
    reading: Reading
    metric: Metric
    tally: Tally
    came: set[int] = field(default_factory=set)
    """Labels met so far, also those of deleted vectors."""

    def record(self, label: int, vector: Floats32) -> Record:
        """Return the record of a vector."""
        name = self.car.ids.get(label)
        if name is None:
            name = f"label/{label}"
            if self.car.name:
                what = "vectors without an id there; called by their labels"
                self.tally.remark(self.car.name, what)
        facts = Facts("vector")
        facts.metadata["table"] = "vectors"
        if (own := self.car.metadata.get(name)) is not None:
            add_value(facts, "metadata", own, msgspec.json.encode(own).decode())
        found, reason = usable(vector, self.metric)
        if reason:
            what = f"embedding {reason}; its record arrives without a vector"
            self.tally.damaged("vectors", what)
        return Record(
            namespace=self.reading.namespace, id=name, kind=self.reading.kind, vector=found,
            metadata=metadata_of(facts), payload=facts.payload(), origin=self.reading.origin,
        )  # fmt: skip

    def finish(self) -> None:
        """Say how many ids have no vector."""
        missing = sum(label not in self.came for label in self.car.ids)
        self.tally.damaged(self.car.name, "ids whose vectors are not in the vector file", missing)
