"""A trained model as it travels: what it is made of, where it comes from, how well it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cellhive.core.types import Floats32

Tensors = Mapping[str, Floats32]
"""Tensors by "ROLE/tensor"."""

CANDIDATE, CHAMPION = "candidate", "champion"
"""Aliases: the version that may become the one in use, and the one in use."""

MANIFEST_FORMAT = 1


@dataclass(frozen=True)
class ModelRole:
    """What a model does in one role, and what it must be given for that."""

    name: str
    """"joint", or a function: "mobility", "load", "coverage", "energy"."""
    encoder: str
    heads: tuple[str, ...]
    """Parameters it turns, in order."""
    neighbours: int
    hidden: int
    message: int
    features: tuple[str, ...]
    """Name of every feature, in order."""
    units: tuple[str, ...]
    """Unit of every feature, in the same order."""
    tensors: Mapping[str, tuple[int, ...]]
    """Shape of every tensor by its name within the role."""
    beside_rules: bool = False
    """Whether it learned with the rules at work: it adds to what they do, and needs them."""


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from."""

    scenarios: tuple[str, ...] = ()
    """What it was trained on."""
    seeds: tuple[int, ...] = ()
    code: str = ""
    """Version of the code, and of its sources."""
    command: str = ""
    parents: tuple[str, ...] = ()
    """Models it began from, as "NAME:VERSION"."""
    budget: Mapping[str, float] = field(default_factory=dict)
    """What the training took, by name with unit suffix: decisions, wall_s, cpu_s."""
    data: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of files it learned from, by name."""


@dataclass(frozen=True)
class GateResult:
    """A condition that a model had to meet before it may be used."""

    name: str
    passed: bool
    found: str
    """What was measured, in words and figures."""


@dataclass(frozen=True)
class ModelManifest:
    """All that is known of one version of a model, but its tensors."""

    name: str
    roles: tuple[ModelRole, ...]
    lineage: Lineage = field(default_factory=Lineage)
    metrics: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateResult, ...] = ()
    note: str = ""
    version: int = 0
    """Counts from 1 within the name; given by the store, as are the fields below."""
    created_s: float = 0.0
    """When it was added [s since the epoch]."""
    tensors_sha256: str = ""
    """Of the file with the tensors."""
    tensors_bytes: int = 0
    format: int = MANIFEST_FORMAT

    @property
    def reference(self) -> str:
        """Name and version, "NAME:VERSION"."""
        return f"{self.name}:{self.version}"


@dataclass(frozen=True)
class AliasMove:
    """A moment at which an alias was set."""

    alias: str
    version: int
    """0 where the alias was taken away."""
    before: int
    """0 where there was none."""
    time_s: float
    reason: str


@dataclass(frozen=True)
class Difference:
    """One thing in which two models differ."""

    what: str
    one: str
    other: str
