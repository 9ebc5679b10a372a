"""Incidents: departures of many series that belong together, ranked by how much they matter."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cellhive.diagnose.cycles import DAY_S, Panel, Usual, quantiles, remove_cycles

TOGETHER = 0.5
"""Overlap over union from which departures of different objects are one incident."""
ALIKE = 0.7
"""The same for objects of different sites, where sites are known."""
ALONG = 0.25
"""The same for departures of one object."""
ALL_KPIS = "(all)"
"""Stands for the KPI where an object reports nothing at all."""
OUTAGE = "outage"
NO_DATA = "no data"
_SECTOR = re.compile(r"([-_/.: ]+[A-Za-z]?\d{1,3}[A-Za-z]?|(?<=\d)[A-Za-z])$")
"""Last part of a cell's name that tells it from the others of its site."""
MOST_OF_A_SITE = 24
"""Objects that a site may have at most, where sites are read from the objects' names."""
MOST_SIGMAS = 20.0
MOST_GONE = 0.5
"""Share of a KPI's usual value from which its loss leads an incident."""
_RELATIVE_UNITS = {"%", "dB", "dBm"}
"""Units in which half of a value means nothing."""
CLEARLY = 0.8
"""Share of the weight from which an incident goes one way."""
_WEIGHT = {"worse": 1.0, "": 0.6, "better": 0.3}


@dataclass(frozen=True)
class Anomaly:
    """One stretch of one KPI of one object that is not as usual."""

    object: str
    kpi: str
    unit: str
    kind: str
    """"spike", "level shift", "drift", "seasonality break", "variance change", "outage" (it
    fell to nothing) or "no data"."""
    start_s: float
    end_s: float
    """End of the last period, seconds since the epoch [s]."""
    expected: float
    """What would have been usual, in the unit of the KPI; for a drift, the level at first;
    for a seasonality break the swing of the cycle, for a variance change the spread."""
    observed: float
    """What was there; for a drift, the level at last."""
    sigmas: float
    """Mean departure in usual spreads of the series, signed."""
    p_value: float
    effect: str
    """"worse", "better" or "" where neither direction is known to be good."""
    open_start: bool = False
    open_end: bool = False
    detail: str = ""
    """What a seasonality break or a variance change is, in words."""

    @property
    def relative(self) -> float:
        """Size over what is usual; NaN where nothing is usual."""
        return self.size / abs(self.expected) if self.expected else math.nan

    @property
    def size(self) -> float:
        """Observed minus expected, in the unit of the KPI."""
        return self.observed - self.expected


@dataclass(frozen=True)
class Incident:
    """Departures of one or many objects and KPIs that belong together."""

    rank: int
    """1 for what matters most."""
    kind: str
    start_s: float
    end_s: float
    objects: tuple[str, ...]
    kpis: tuple[str, ...]
    effect: str
    """"worse", "better", "mixed" or ""."""
    severity: float
    """``severity_of``; only its order means something."""
    confidence: str
    """"very high", "high" or "moderate"."""
    p_value: float
    """Of its strongest member, after correction for the positions that were looked at."""
    open_end: bool
    """It is still going on at the end of the data."""
    members: tuple[Anomaly, ...]
    """What is mostly gone first, then the strongest; those that go another way than the incident
    last."""
    load: float | None = None
    """Usual users, or traffic, of its objects at that time, in the unit of ``Search.load``
    summed over the objects; None where no KPI tells."""

    @property
    def lead(self) -> Anomaly:
        """Return the member that shows the incident best."""
        return self.members[0]


# From departures to incidents ----------------------------------------------------


def sites_of(panels: Sequence[Panel], told: Mapping[str, str]) -> dict[str, str]:
    """Return the site of each object, as told or else from its name; empty where nothing says.

    The site is what comes before the last part of a distinguished name, or before the last
    number or letter of a name: "S03" of "S03-2", "TRI111L" of "TRI111L_3".
    """
    objects = list(dict.fromkeys(name for panel in panels for name in panel.objects))
    known = {name: told[name] for name in objects if told.get(name)}
    found = {name: _site_in(name) for name in objects}
    counts = Counter(found.values())
    share = sum(1 for site in found.values() if 1 < counts[site] <= MOST_OF_A_SITE)
    by_name = found if objects and share >= len(objects) / 2 else {}
    if not known:
        return by_name
    return {name: known.get(name) or by_name.get(name, name) for name in objects}


def _site_in(name: str) -> str:
    if "," in name and "=" in name:
        return name.rsplit(",", 1)[0]
    return _SECTOR.sub("", name.strip()) or name


def merge(
    anomalies: Sequence[Anomaly], sites: Mapping[str, str] | None = None
) -> list[tuple[Anomaly, ...]]:
    """Return anomalies grouped into incidents.

    The strongest one not yet taken starts a group; others join that overlap with it in
    time (at least half of the union for other objects, a quarter for the same object) and
    begin at about the same time (within half its length, at most three days; for the same
    object its length, at most a week). Where sites are known, objects of other sites join
    only what overlaps by 70 % and begins within a tenth of its length, in the same KPI and
    direction: unrelated events of a large network meet by chance.
    Members are compared with the first one only, so that chains do not grow across the
    network. Drifts join drifts of the same KPI and direction.

    Args:
        anomalies: What is not as usual.
        sites: Site by object.
    """
    rest = sorted(anomalies, key=lambda a: (a.p_value, -abs(a.sigmas), a.object, a.kpi))
    start = np.array([a.start_s for a in rest])
    end = np.array([a.end_s for a in rest])
    drift = np.array([a.kind == "drift" for a in rest], dtype=np.bool_)
    free = np.ones(len(rest), dtype=np.bool_)
    names = np.array([a.object for a in rest], dtype=object)
    kpis = np.array([a.kpi for a in rest], dtype=object)
    signs = np.array([math.copysign(1.0, a.sigmas) for a in rest])
    homes = np.array([sites.get(a.object, a.object) for a in rest], dtype=object) if sites else None
    groups: list[tuple[Anomaly, ...]] = []
    for index, seed in enumerate(rest):
        if not free[index]:
            continue
        like = (kpis == seed.kpi) & (signs == signs[index])
        if seed.kind == "drift":
            joins = drift & like
        else:
            shared = np.minimum(end, seed.end_s) - np.maximum(start, seed.start_s)
            overlap = shared / (np.maximum(end, seed.end_s) - np.minimum(start, seed.start_s))
            own = names == seed.object
            length = seed.end_s - seed.start_s
            apart = np.abs(start - seed.start_s)
            slack = np.where(own, min(length, 7 * DAY_S), min(length / 2, 3 * DAY_S))
            joins = (overlap >= np.where(own, ALONG, TOGETHER)) & (apart <= slack) & ~drift
            if homes is not None:
                joins &= (homes == homes[index]) | (
                    like & (overlap >= ALIKE) & (apart <= 0.1 * length)
                )
        joins &= free
        joins[index] = True
        free &= ~joins
        groups.append(tuple(rest[i] for i in np.flatnonzero(joins)))
    return _rejoined(_told_once(groups), homes is not None)


def _told_once(groups: Sequence[tuple[Anomaly, ...]]) -> list[tuple[Anomaly, ...]]:
    """Return groups with those that are copies of one another as one: the same column twice."""
    out: dict[frozenset[tuple[str, float, float, float]], tuple[Anomaly, ...]] = {}
    for group in groups:
        key = frozenset((one.object, one.start_s, one.end_s, one.sigmas) for one in group)
        out[key] = (*out.get(key, ()), *group)
    return list(out.values())


def _rejoined(groups: list[tuple[Anomaly, ...]], by_site: bool) -> list[tuple[Anomaly, ...]]:
    """Return groups with those that share objects and a time as one.

    What joined two objects of different sites in one KPI left their other KPIs behind.
    """
    if not by_site:
        return groups
    out: list[tuple[Anomaly, ...]] = []
    objects: list[set[str]] = []
    for group in groups:
        lead = group[0]
        at = next(
            (
                i for i, other in enumerate(out)
                if lead.object in objects[i] and lead.kind != "drift" and _together(other[0], lead)
            ),
            None,
        )  # fmt: skip
        if at is None:
            out.append(group)
            objects.append({one.object for one in group})
        else:
            out[at] = (*out[at], *group)
            objects[at] |= {one.object for one in group}
    return out


def _together(one: Anomaly, other: Anomaly) -> bool:
    if one.kind == "drift":
        return False
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    union = max(one.end_s, other.end_s) - min(one.start_s, other.start_s)
    near = abs(one.start_s - other.start_s) <= min(one.end_s - one.start_s, 7 * DAY_S)
    return shared >= TOGETHER * union and near


@dataclass(frozen=True)
class Loads:
    """How many users, or how much traffic, objects usually have."""

    names: tuple[str, ...] = ()
    """KPIs that tell."""
    found: Mapping[str, tuple[Panel, Usual, int, float]] = field(default_factory=dict)
    """By object: panel, its cycles, the row, and the typical load of an object like it."""

    @classmethod
    def of(cls, panels: Sequence[Panel], kpis: Sequence[str]) -> Loads:
        """Return the loads by the first KPI wanted that each object has."""
        found: dict[str, tuple[Panel, Usual, int, float]] = {}
        names: list[str] = []
        for panel in (panel for kpi in kpis for panel in panels if panel.kpi == kpi):
            means = quantiles(panel.values, (0.5,))[0]
            known = np.isfinite(means)
            typical = float(np.mean(means[known])) if known.any() else 0.0
            new = [i for i in np.flatnonzero(known).tolist() if panel.objects[i] not in found]
            if not typical > 0 or not new:
                continue
            usual = remove_cycles(panel)
            found |= {panel.objects[row]: (panel, usual, row, typical) for row in new}
            names.append(panel.kpi)
        return cls(tuple(dict.fromkeys(names)), found)

    def usually(self, name: str, start_s: float, end_s: float) -> float | None:
        """Return the mean load that is usual for an object between two times."""
        if name not in self.found:
            return None
        panel, usual, row, _ = self.found[name]
        first = int(np.clip((start_s - panel.start_s) // panel.step_s, 0, panel.periods - 1))
        last = int(np.clip(-(-(end_s - panel.start_s) // panel.step_s), first + 1, panel.periods))
        return float(np.mean(usual.transform.inverse(usual.cycle[row, first:last], row)))

    def share(self, name: str, start_s: float, end_s: float) -> float:
        """Return the same beside an object like it; 1 where nothing tells."""
        load = self.usually(name, start_s, end_s)
        return 1.0 if load is None else load / self.found[name][3]


def severity_of(members: Sequence[Anomaly], loads: Loads | None = None) -> float:
    """Return how much an incident matters: depth x users affected x breadth x duration.

    Where users or traffic are known, the sizes of the strongest KPI of each object (usual
    spreads, at most 20) are summed, each weighted by the object's usual load at that time
    beside that of a typical object; otherwise it is their mean times the square root
    of the number of objects. Then times 1 + log2 of the number of KPIs over 4, times the
    square root of the days it lasts (an hour to two weeks). Changes for the better weigh 0.3,
    those of unknown direction 0.6.
    """
    depth: dict[str, float] = {}
    for one in members:
        weight = _WEIGHT[one.effect] * min(abs(one.sigmas), MOST_SIGMAS)
        depth[one.object] = max(depth.get(one.object, 0.0), weight)
    kpis = len({one.kpi for one in members})
    start_s, end_s = members[0].start_s, members[0].end_s
    lasting = math.sqrt(min(max((end_s - start_s) / DAY_S, 1 / 24), 14.0))
    if loads is not None and loads.names:
        breadth = sum(size * loads.share(name, start_s, end_s) for name, size in depth.items())
    else:
        breadth = sum(depth.values()) / math.sqrt(len(depth))
    return breadth * (1 + math.log2(kpis) / 4) * lasting


def rank(groups: Sequence[tuple[Anomaly, ...]], loads: Loads | None = None) -> tuple[Incident, ...]:
    """Return the incidents of groups of anomalies, most severe first."""
    made = [_incident(group, loads) for group in groups]
    made.sort(key=lambda one: -one.severity)
    return tuple(replace(one, rank=index) for index, one in enumerate(made, start=1))


def _incident(group: tuple[Anomaly, ...], loads: Loads | None) -> Incident:
    def weight(one: Anomaly) -> float:
        return _WEIGHT[one.effect] * min(abs(one.sigmas), MOST_SIGMAS)

    effect = _effect(group)
    wanted = effect if effect in {"worse", "better"} else "worse"
    directed = effect != ""
    members = tuple(
        sorted(
            group,
            key=lambda one: (directed and one.effect != wanted, one.relative if _lost(one) else 0.0,
                             -weight(one), one.p_value, one.object),
        )
    )  # fmt: skip
    p_value = min(one.p_value for one in members)
    start_s = _middle([one.start_s for one in members])
    end_s = _middle([one.end_s for one in members])
    objects = tuple(dict.fromkeys(one.object for one in members))
    each = [loads.usually(name, start_s, end_s) for name in objects] if loads else []
    loaded = [load for load in each if load is not None]
    return Incident(
        rank=0,
        kind=_kind(members),
        start_s=start_s,
        end_s=end_s,
        objects=objects,
        kpis=tuple(dict.fromkeys(one.kpi for one in members)),
        effect=effect,
        severity=severity_of(members, loads),
        confidence=_confidence(p_value),
        p_value=p_value,
        open_end=sum(one.open_end for one in members) * 2 > len(members),
        members=members,
        load=sum(loaded) if loaded else None,
    )


def _kind(members: Sequence[Anomaly]) -> str:
    """Return the kind of an incident: a silence or an outage of its first object, or the usual.

    Of the others the kind of most members, each with the weight of its size.
    """
    name = members[0].object
    here = [one.kind for one in members if one.object == name]
    for kind in (NO_DATA, OUTAGE):
        if here.count(kind) * 3 >= len(here):
            return kind
    weight: Counter[str] = Counter()
    for one in members:
        weight[one.kind] += 1
    return weight.most_common(1)[0][0]


def _middle(times: Sequence[float]) -> float:
    """Return the median as a time that occurs, so that it is the border of a period."""
    return sorted(times)[len(times) // 2]


def _lost(one: Anomaly) -> bool:
    """Return whether most of something good is gone: traffic, users, throughput."""
    counted = one.kpi != ALL_KPIS and one.unit not in _RELATIVE_UNITS
    return counted and one.effect == "worse" and one.relative <= -MOST_GONE


def _effect(members: Sequence[Anomaly]) -> str:
    """Return the direction that has most of the weight, or "mixed" where none clearly has.

    Where most of the traffic is gone, ratios that look better do not count: who is not served
    is not dropped either.
    """
    idle = {one.object for one in members if _lost(one)}
    weight = {"worse": 0.0, "better": 0.0}
    for one in members:
        if one.effect == "worse" or (one.effect and one.object not in idle):
            weight[one.effect] += min(abs(one.sigmas), MOST_SIGMAS)
    total = sum(weight.values())
    if total == 0:
        return ""
    return next((name for name, part in weight.items() if part >= CLEARLY * total), "mixed")


def _confidence(p_value: float) -> str:
    for limit, word in ((1e-6, "very high"), (1e-3, "high")):
        if p_value <= limit:
            return word
    return "moderate"
