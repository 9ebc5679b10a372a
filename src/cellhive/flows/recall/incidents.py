"""Incidents as records of a memory: which earlier ones looked like this one, and what was it?

An incident becomes a vector that means the same in every network: which families of KPIs
went which way and how far, in what manner, for how long, in how many objects. No component
tells an operator, a site or a cell.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType

import numpy as np
from msgspec import structs

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.measurements import ColumnInfo
from cellhive.core.records import (
    NOT_WRITTEN,
    PRIVACY,
    PRIVATE,
    Metadata,
    Metric,
    Namespace,
    Record,
    RecordKind,
)
from cellhive.core.types import Floats32
from cellhive.diagnose.incidents import ALL_KPIS, Anomaly, Incident
from cellhive.flows.analyse import Analysis
from cellhive.flows.causes.why import Causes
from cellhive.memory.store import Match, Memory

NAME = "incidents"
"""Namespace of the memory that incidents are kept in."""

LEAST_ALIKE = 0.8
"""Cosine from which an earlier incident is worth a word."""

MOST_ALIKE = 3
"""Earlier incidents that are named for one."""

MOST_KEPT = 200
"""Incidents of one analysis that are remembered, most important first."""

SAME = 0.5
"""Share of the shorter of two incidents that both cover from which they may be one."""

_MOST_NOTE = 2_000
_MOST_NAMES = 50
_CLEAR_SIGMAS = 6.0
_MANNER = 0.5
_PROBABLE = 0.5

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "accessibility": (r"^RRC\.ConnEstab", r"^rrc_setup", r"setup|access|estab|\bcssr\b|rach"),
        "retainability": (r"RadioLinkFailure", r"^rlf", r"drop|retain|abnormal|\brlf\b|lost"),
        "handover": (r"^MM\.Ho", r"^HO\.", r"^handover", r"handover|\bho\b|_ho_|mobility"),
        "ping-pong": (r"ping", r"HoPingPong"),
        "re-establishment": (r"ReEstab", r"re-?estab"),
        "throughput": (r"Thp", r"throughput|thput|\bthp\b|speed|[mk]bps"),
        "traffic volume": (r"Volume", r"volume|traffic|payload|bytes|[_ ][gmt]b\b"),
        "users": (r"^RRC\.Conn(Mean|Max)", r"ActiveUe", r"user|\bues?\b|subscriber|connected"),
        "load": (r"^RRU\.Prb", r"^prb_util", r"prb|utili[sz]|load|congest|cce"),
        "demand": (r"demand_satisfied", r"satisf|blocked|reject"),
        "signal": (r"^rsrp", r"weak_coverage|CoverageHole", r"rsrp|rscp|coverage|pathloss|\bta\b"),
        "quality": (r"^sinr", r"^interference", r"sinr|rsrq|\bcqi\b|mcs|bler|rssi|interf|noise"),
        "delay": (r"InterruptionTime|^interruption", r"delay|latency|ping_ms|jitter|\brtt\b"),
        "loss": (r"loss|discard|retrans|error",),
        "availability": (r"avail|downtime|outage|uptime",),
        "energy": (r"^PEE\.", r"^energy", r"energy|power|kwh|watt"),
    }
)
"""Families of KPIs; what names a KPI of each, those of the registry first."""

OTHER = "other KPIs"
KINDS = (
    "spike", "level shift", "drift", "outage", "seasonality break", "variance change", "no data",
)  # fmt: skip
_REST = ("another manner", "duration", "objects", "still going on")
FEATURES = (*FAMILIES, OTHER, *KINDS, *_REST)
"""Names of the components of an incident's vector."""

SPACE = Namespace(NAME, len(FEATURES), Metric.COSINE, features=FEATURES)

_PATTERNS = {
    family: tuple(re.compile(one, re.IGNORECASE) for one in patterns)
    for family, patterns in FAMILIES.items()
}
_FINEST_FIRST = ("ping-pong", "re-establishment", "availability", "demand", *FAMILIES)
"""Order of the families in which a name is tried: narrow ones before wide ones."""


@dataclass(frozen=True)
class Precedent:
    """An earlier incident that looks like one of now."""

    id: str
    similarity: float
    """Cosine of the two, 0 to 1."""
    alike: tuple[str, ...]
    """Features that make them similar, the strongest first."""
    time_s: float
    facts: Metadata
    """What was kept of it: see ``facts_of``."""

    @property
    def note(self) -> str:
        """What a person wrote of it; "" where nobody did."""
        return str(self.facts.get("note") or "")

    @property
    def cause(self) -> str:
        """What the causal model then gave as its most probable cause; "" for none."""
        return str(self.facts.get("cause") or "")


def family_of(kpi: str, quantity: str | None) -> str:
    """Return the family of a KPI: by the registry's name where it has one, else by its own."""
    name = (quantity or kpi).replace("_", " ") if quantity is None else quantity
    for family in _FINEST_FIRST:
        if any(pattern.search(name) for pattern in _PATTERNS[family]):
            return family
    return OTHER


def situation(incident: Incident, columns: Mapping[str, ColumnInfo]) -> Floats32:
    """Return an incident as a vector, see ``FEATURES``.

    Args:
        incident: The incident.
        columns: What is known of the KPIs, by name.
    """
    sums: dict[str, list[float]] = defaultdict(list)
    for member in incident.members:
        if member.kpi == ALL_KPIS:
            sums["availability"].append(-1.0)
            continue
        info = columns.get(member.kpi)
        family = family_of(member.kpi, info.quantity if info else None)
        sums[family].append(math.tanh(_signed(member) / _CLEAR_SIGMAS))
    parts = {name: float(np.mean(values)) for name, values in sums.items()}
    manner = incident.kind if incident.kind in KINDS else "another manner"
    hours = max((incident.end_s - incident.start_s) / 3600.0, 0.25)
    parts[manner] = _MANNER
    parts["duration"] = _MANNER * math.log10(hours) / 3.0
    parts["objects"] = _MANNER * math.log10(len(incident.objects)) / 2.0
    parts["still going on"] = _MANNER / 2.0 * incident.open_end
    return np.array([parts.get(name, 0.0) for name in FEATURES], np.float32)


def _signed(member: Anomaly) -> float:
    return member.sigmas if math.isfinite(member.sigmas) else math.copysign(20.0, member.size)


def declare(memory: Memory) -> None:
    """Declare the namespace of incidents; raise Conflict where others have taken its name."""
    memory.declare(SPACE)


def precedents(
    memory: Memory, analysis: Analysis, *, most: int = MOST_ALIKE
) -> dict[int, tuple[Precedent, ...]]:
    """Return earlier incidents that look like those of an analysis, by rank, most alike first.

    What the memory holds of the same incident, from an earlier analysis of the same data, is
    no precedent; nor is one that went on at the same time in the same objects.

    Args:
        memory: Where earlier incidents are.
        analysis: The analysis.
        most: How many to name for each.
    """
    declare(memory)
    if not memory.count(NAME):
        return {}
    columns = _columns(analysis)
    found: dict[int, tuple[Precedent, ...]] = {}
    for incident in analysis.search.incidents[:MOST_KEPT]:
        matches = memory.find(NAME, vector=situation(incident, columns), k=10 * most)
        alike = [
            _precedent(match) for match in matches
            if (match.similarity or 0.0) >= LEAST_ALIKE and not _is_same(incident, match.record)
        ]  # fmt: skip
        if alike:
            found[incident.rank] = tuple(sorted(alike, key=_told_first)[:most])
    return found


def _told_first(one: Precedent) -> tuple[bool, float]:
    """Order by whether a person said what it was, then by similarity."""
    return (not one.note, -one.similarity)


def _precedent(match: Match) -> Precedent:
    parts = sorted(match.contributions.items(), key=lambda item: -item[1])
    alike = tuple(name for name, part in parts[:3] if part > 0.05)  # noqa: PLR2004  # a twentieth
    record = match.record
    return Precedent(
        record.id, min(float(match.similarity or 0.0), 1.0), alike, record.time_s, record.metadata
    )


def _is_same(incident: Incident, record: Record) -> bool:
    facts = record.metadata
    start_s, end_s = record.time_s, float(str(facts.get("end_s", record.time_s)))
    both = min(incident.end_s, end_s) - max(incident.start_s, start_s)
    shorter = min(incident.end_s - incident.start_s, end_s - start_s)
    if both < SAME * shorter or both <= 0:
        return False
    return bool(set(_tags(facts.get("objects"))) & set(incident.objects[:_MOST_NAMES]))


def _tags(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple | list) else ()


def remember(memory: Memory, analysis: Analysis, causes: Causes | None = None) -> int:
    """Write the incidents of an analysis into a memory, and return how many it had not known.

    An incident that is known already, from an earlier analysis of the same objects and time,
    keeps its name and what a person noted of it; the rest is replaced.

    Args:
        memory: Where to.
        analysis: The analysis.
        causes: What a causal model says of it.
    """
    declare(memory)
    columns = _columns(analysis)
    most_probable = _causes(causes)
    new, records = 0, []
    taken: set[str] = set()
    for incident in analysis.search.incidents[:MOST_KEPT]:
        vector = situation(incident, columns)
        known = _known(memory, incident, vector, taken)
        if known is None:
            new += 1
        facts = facts_of(incident, most_probable.get(incident.rank, ""))
        note = str(known.metadata.get("note") or "") if known is not None else ""
        if note:
            facts = {**facts, "note": note}
        name = known.id if known is not None else _id(incident)
        taken.add(name)
        records.append(
            Record(
                NAME, name, RecordKind.RESULT, vector, facts, _words(facts), b"", incident.start_s
            )
        )
    if records:
        memory.upsert(records)
    return new


def _known(memory: Memory, incident: Incident, vector: Floats32, taken: set[str]) -> Record | None:
    exact = memory.get(NAME, [_id(incident)])[0]
    if exact is not None and not exact.deleted:
        return exact
    if not memory.count(NAME):
        return None
    for match in memory.find(NAME, vector=vector, k=20):
        record = match.record
        if record.id not in taken and _is_same(incident, record) and (match.similarity or 0) > SAME:
            return record
    return None


def _id(incident: Incident) -> str:
    lead = incident.lead
    words = f"{lead.object}\0{lead.kpi}\0{round(incident.start_s)}"
    return blake2b(words.encode(), digest_size=6, person=b"incident").hexdigest()


def facts_of(incident: Incident, cause: str = "") -> Metadata:
    """Return what is kept of an incident beside its vector; it names objects, so it is private.

    Args:
        incident: The incident.
        cause: Its most probable cause in words, "" where none is known.
    """
    lead = incident.lead
    return {
        "kind": incident.kind,
        "effect": incident.effect,
        "lead_kpi": lead.kpi,
        "lead_object": lead.object,
        "unit": lead.unit,
        "expected": _number(lead.expected),
        "observed": _number(lead.observed),
        "kpis": incident.kpis[:_MOST_NAMES],
        "objects": incident.objects[:_MOST_NAMES],
        "object_count": len(incident.objects),
        "end_s": incident.end_s,
        "open_end": incident.open_end,
        "cause": cause,
        PRIVACY: PRIVATE,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _words(facts: Metadata) -> str:
    names = (*_tags(facts["kpis"]), *_tags(facts["objects"]))
    said = (facts["kind"], facts["cause"], facts.get("note", ""), *names)
    return " ".join(str(one) for one in said if one)


def _causes(causes: Causes | None) -> dict[int, str]:
    """Return the strongest probable cause of each explained incident, by its rank."""
    found: dict[int, str] = {}
    for one in () if causes is None else causes.explained:
        probable = [cause for cause in one.causes if cause.probability >= _PROBABLE]
        if probable and probable[0].name != one.target:
            found[one.incident.rank] = probable[0].name
    return found


def _columns(analysis: Analysis) -> dict[str, ColumnInfo]:
    return {name: info for part in analysis.parts for name, info in part.columns.items()}


def noted(memory: Memory, name: str, note: str) -> Record:
    """Write what an incident turned out to be, and return its record.

    Args:
        memory: The memory it is in.
        name: Its id, or the beginning of it that no other has.
        note: What it was and what helped; "" takes an earlier note away.

    Raises:
        NotFound: There is none, or several begin like this.
        BadInput: The note is too long.
    """
    if len(note) > _MOST_NOTE:
        raise BadInput(
            place="note", expected=f"at most {_MOST_NOTE} characters", found=f"{len(note)}"
        )
    record = the_one(memory, name)
    facts = {key: value for key, value in record.metadata.items() if key != "note"}
    if note.strip():
        facts["note"] = note.strip()
    fresh = structs.replace(record, metadata=facts, text=_words(facts), version=NOT_WRITTEN)
    memory.upsert([fresh])
    return fresh


def the_one(memory: Memory, name: str) -> Record:
    """Return the incident whose id begins like this.

    Raises:
        NotFound: There is none, or several begin like this.
    """
    declare(memory)
    found = [one for one in every(memory) if name and one.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    said = "none" if not found else f"{len(found)}: {', '.join(one.id for one in found[:5])}"
    message = f"expected the id of one remembered incident, found {said} that begin with {name!r}"
    raise NotFound(message)


def every(memory: Memory) -> list[Record]:
    """Return the incidents that a memory holds, oldest first."""
    declare(memory)
    found: list[Record] = []
    after = 0
    while True:
        rows, records = memory.scan(NAME, after_row=after, limit=500)
        if not records:
            return sorted(found, key=lambda one: one.time_s)
        found += records
        after = int(rows[-1])
