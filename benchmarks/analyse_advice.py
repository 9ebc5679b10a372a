"""Does what an analysis recommends agree with what is known to be right?

    python benchmarks/analyse_advice.py             about ten minutes on one core

Four parts. What a step does, in the twin: every branch has the same users and fading, so the
difference is the step's. From these the rules of thumb come that are used where nothing was tried
in a network; they are judged on seeds that they were not chosen by. What is recommended from the
twin's own counters: late handovers on a highway must be made earlier, and a healthy city must be
left alone. And synthetic networks with planted faults: how many are found, and how much is
recommended where nothing was planted. Cells that are told to sleep are held against weeks that the
advice did not see; no real data here have loads of hours, so these are synthetic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from _bench import Row, report
from scipy.stats import beta, norm

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Bools, Change, Floats, Plan
from cellhive.diagnose.advice.balance import SHIFT, SHIFT_SAME_GROUND, pairs
from cellhive.diagnose.advice.capacity import State, forecasts
from cellhive.diagnose.advice.coverage import radio_findings
from cellhive.diagnose.advice.energy import PRB_FACTOR, sleeps
from cellhive.diagnose.advice.mobility import OTHER_WAY, RELIEF, mobility_advice
from cellhive.diagnose.advice.network import surroundings
from cellhive.diagnose.advice.recommendation import Limits, Seen
from cellhive.ran.parameters import step_on_grid
from cellhive.ran.scenarios import build_twin
from cellhive.ran.simulator import Twin

CITIES = ("highway-corridor", "hex-urban", "healthy")
CHOSEN, SPARE = (1, 2, 3, 4), (11, 12, 13, 14)
"""Seeds whose steps the rules of thumb were chosen by, and others to judge them on."""
PERIODS, OBSERVED_S = 12, 120.0
EVENTS = ("HO.IntraSys.TooLate", "HO.IntraSys.TooEarly", "x.HoPingPong",
          "MM.HoExeInterSucc", "MM.HoExeInterFail")  # fmt: skip
ATTEMPTS = ("MM.HoExeInterSucc", "MM.HoExeInterFail", "HO.IntraSys.TooLate")
"""What an attempt at a handover ends as, as the advice counts them."""
NETWORKS, DAYS = 10, 56
MORNING, EVENING = 8, 22


# ------------------------------------------------------------------ what a step does


@dataclass(frozen=True)
class Tried:
    """What steps of one kind did in branches of the twin, one figure for each city and seed."""

    ended: list[float] = field(default_factory=list)
    """Share of the events the step is made against that end."""
    factor: list[float] = field(default_factory=list)
    """By how much the opposite kind grows."""


def handover_steps(seeds: tuple[int, ...]) -> dict[tuple[str, int], Tried]:
    """Return what a step earlier (1) or later (-1) does, by parameter, in branches of the twin.

    As is recommended, it is made one way: of each pair of relations on one, of the cells on every
    second; and the events are those of the handovers it was made for.
    """
    tried: dict[tuple[str, int], Tried] = defaultdict(Tried)
    for city in CITIES:
        for seed in seeds:
            twin = build_twin(scenario_named(city), seed, observed_s=OBSERVED_S)
            for name in ("cio_db", "time_to_trigger_s"):
                branches = {way: _stepped(twin, name, way) for way in (1, -1)}
                which = _one_way(twin, name)
                base = _events(twin.clone(), which)
                for way, branch in branches.items():
                    after = _events(branch, which)
                    late, soon = after[0] / base[0], (after[1] + after[2]) / (base[1] + base[2])
                    one = tried[name, way]
                    one.ended.append(float(1.0 - (late if way > 0 else soon)))
                    one.factor.append(float(soon if way > 0 else late))
    return tried


def _one_way(twin: Twin, name: str) -> Bools:
    """Return the relations that a step is made for, (R,)."""
    source, target = (np.asarray(x) for x in (twin.network.relation_source,
                                              twin.network.relation_target))  # fmt: skip
    return np.asarray(source < target if name == "cio_db" else source % 2 == 0)


def _stepped(twin: Twin, name: str, way: int) -> Twin:
    branch, network = twin.clone(), twin.network
    places = way if name == "cio_db" else -way  # a shorter time to trigger is earlier
    now = getattr(twin.parameters(), name)
    relations = np.flatnonzero(_one_way(twin, name))
    cells = np.unique(np.asarray(network.relation_source)[relations])
    changes = []
    for at in (relations if name == "cio_db" else cells).tolist():
        cell, target = network.cell_ids[at] if name != "cio_db" else "", None
        if name == "cio_db":
            cell = network.cell_ids[network.relation_source[at]]
            target = network.cell_ids[network.relation_target[at]]
        value = float(now[at])
        changes.append(Change(cell, name, value, step_on_grid(name, value, places), target))
    branch.apply(Plan("step", "operator", twin.time_s, tuple(changes)))
    return branch


def _events(twin: Twin, which: Bools) -> Floats:
    total = np.zeros(len(EVENTS))
    for _ in range(PERIODS):
        frame = twin.observe()
        total += [float(frame.relation_column(f"{name}.nCI")[which].sum()) for name in EVENTS]
    return total


def load_steps(seeds: tuple[int, ...]) -> dict[bool, list[float]]:
    """Return what 2 dB towards another cell and 2 dB back add to its load, over the full cell's.

    By whether the other is a carrier of the same sector.
    """
    moved: dict[bool, list[float]] = defaultdict(list)
    for city in ("hex-urban", "mis-tilted", "stadium-surge"):
        for seed in seeds:
            start_h = scenario_named(city).start_h if city == "stadium-surge" else 18.0
            scenario = replace(scenario_named(city), start_h=start_h)
            twin = build_twin(scenario, seed, observed_s=OBSERVED_S)
            for _ in range(4):
                frame = twin.observe()
            load = frame.column("prb_utilisation_ratio").astype(np.float64)
            border = frame.relation_column("x.BorderUe.nCI").astype(np.float64)
            for source, target in _full_pairs(twin, load, border):
                same = twin.network.site_ids[source] == twin.network.site_ids[target] and (
                    twin.network.carrier_index[source] != twin.network.carrier_index[target]
                )
                moved[same].append(_load_moved(twin, source, target) / float(load[source]))
    return moved


def _full_pairs(twin: Twin, load: Floats, border: Floats) -> Iterator[tuple[int, int]]:
    network, found = twin.network, 0
    for cell in np.argsort(-load).tolist():
        near = [
            o
            for o in network.neighbours_of(cell)
            if load[o] < 0.8 * load[cell] and (o, cell) in network.relation_index
        ]
        if load[cell] < 0.6 or not near or found >= 3:  # noqa: PLR2004
            continue
        found += 1
        yield cell, max(near, key=lambda o: border[network.relation_index[cell, o]])


def _load_moved(twin: Twin, source: int, target: int) -> float:
    network, now = twin.network, twin.parameters()
    there, back = network.relation_index[source, target], network.relation_index[target, source]
    a, b = network.cell_ids[source], network.cell_ids[target]
    changes = (
        Change(a, "cio_db", float(now.cio_db[there]), float(now.cio_db[there]) + 2.0, b),
        Change(b, "cio_db", float(now.cio_db[back]), float(now.cio_db[back]) - 2.0, a),
    )
    tried, left = twin.clone(), twin.clone()
    tried.apply(Plan("step", "operator", twin.time_s, changes))
    loads = [
        np.mean([one.observe().column("prb_utilisation_ratio")[target] for _ in range(6)])
        for one in (tried, left)
    ]
    return float(loads[0] - loads[1])


WORDS = {
    ("cio_db", 1): "1 dB of offset earlier", ("cio_db", -1): "1 dB of offset later",
    ("time_to_trigger_s", 1): "a shorter time to trigger",
    ("time_to_trigger_s", -1): "a longer time to trigger",
}  # fmt: skip


def steps(seeds: tuple[int, ...], which: str, *, judged: bool) -> list[Row]:
    """Return what steps did on some seeds, and how well the rules of thumb foretold that."""
    rows: list[Row] = []
    inside: dict[str, list[bool]] = defaultdict(list)
    signs: list[bool] = []
    for key, one in handover_steps(seeds).items():
        rows += [
            _range(f"{WORDS[key]}, {which}: share of its events that end", one.ended, "share"),
            _range(f"{WORDS[key]}, {which}: factor of the others", one.factor, "factor"),
        ]
        low, high = beta.interval(0.9, *RELIEF[key])
        inside["what a step ends"] += [bool(low <= x <= high) for x in one.ended]
        low, high = np.exp(norm.interval(0.9, *OTHER_WAY[key[1]]))
        inside["how the opposite kind grows"] += [bool(low <= x <= high) for x in one.factor]
        signs += [x > 0 for x in one.ended]
    for same, shares in load_steps(seeds).items():
        kind = "another carrier of its sector" if same else "a neighbour"
        rows.append(_range(f"2 dB from a full cell to {kind}, {which}: PRBs added there, over the "
                           "full cell's", shares, "share"))  # fmt: skip
        low, high = beta.interval(0.9, *(SHIFT_SAME_GROUND if same else SHIFT))
        inside["what an offset moves"] += [bool(low <= x <= high) for x in shares]
        signs += [x > 0 for x in shares]
    if not judged:
        return rows
    every = [x for some in inside.values() for x in some]
    return [
        Row(f"effects of {len(every)} steps on {which} in their 90 % intervals",
            float(np.mean(every)), "share", ">= 0.85"),
        *(Row(f"of these {name}, {len(some)}", float(np.mean(some)), "share")
          for name, some in inside.items()),
        Row(f"effects of {len(signs)} steps on {which} with the sign that is foretold",
            float(np.mean(signs)), "share", "> 0.9"),
        *rows,
    ]  # fmt: skip


def _range(name: str, values: list[float], unit: str) -> Row:
    spread = (max(values) - min(values)) / 2
    return Row(f"{name}, median", float(np.median(values)), unit, spread=spread)


# ------------------------------------------------------------------ from the twin's counters


def from_counters() -> list[Row]:
    """Return what is recommended from the relation counters of twins."""
    rows = []
    for city in ("highway-corridor", "healthy"):
        earlier = later = wrong = relations = 0
        for seed in CHOSEN[:2]:
            twin = build_twin(scenario_named(city), seed, observed_s=OBSERVED_S)
            frames = [twin.observe() for _ in range(4 * PERIODS)]
            network = twin.network
            names = tuple(
                f"{network.cell_ids[a]}->{network.cell_ids[b]}"
                for a, b in zip(network.relation_source, network.relation_target, strict=True)
            )
            values = {
                name: np.stack([f.relation_column(f"{name}.nCI") for f in frames], 1).astype(float)
                for name in EVENTS
            }
            found = mobility_advice(
                Seen(names, 0.0, 900.0, values), Limits(), np.random.default_rng(1)
            )
            attempts = [values[name].sum(axis=1) for name in ATTEMPTS]
            relations += int((np.sum(attempts, axis=0) >= 20).sum())  # noqa: PLR2004
            for one in found:
                up = one.steps[0].by > 0
                earlier, later = earlier + up, later + (not up)
                row = names.index(one.steps[0].object_id)
                late = values["HO.IntraSys.TooLate"][row].sum()
                soon = sum(values[name][row].sum() for name in EVENTS[1:3])
                wrong += (3.0 * late >= soon) != up
        rows += [
            Row(f"{city}: relations with 20 counted handovers", float(relations), ""),
            Row(f"{city}: of these made earlier", earlier / relations, "share"),
            Row(f"{city}: of these made later", later / relations, "share"),
            Row(f"{city}: in the wrong direction", float(wrong), "", "0"),
        ]
    return rows


# ------------------------------------------------------------------ planted faults


def planted() -> list[Row]:
    """Return how many planted faults are found, and what is recommended beside them."""
    hit: dict[str, int] = defaultdict(int)
    false: dict[str, int] = defaultdict(int)
    looked: dict[str, int] = defaultdict(int)
    for seed in range(NETWORKS):
        for faulty in (True, False):
            found = _found(seed, faulty=faulty)
            for topic, (names, wanted, count) in found.items():
                hit[topic] += len(names & wanted)
                false[topic] += len(names - wanted)
                looked[topic] += count - len(wanted)
    return [
        row
        for topic in hit
        for row in (
            Row(f"{topic}: planted faults found", hit[topic] / NETWORKS, "share", "> 0.9"),
            Row(f"{topic}: recommended where nothing was planted", false[topic] / looked[topic],
                "share", "< 0.02"),
        )
    ]  # fmt: skip


def _found(seed: int, *, faulty: bool) -> dict[str, tuple[set[str], set[str], int]]:
    """Return by topic what was recommended, what was planted, and how many were looked at."""
    rng = np.random.default_rng([seed, faulty])
    hours = np.arange(24 * DAYS)
    names = tuple(f"S{k // 3 + 1:02d}-{layer}-{k % 3 + 1}"
                  for k in range(30) for layer in ("L800", "L1800"))  # fmt: skip
    shape = np.where((hours % 24 >= MORNING) & (hours % 24 < EVENING), 1.0, 0.6)
    load = 0.45 * shape * np.exp(0.08 * rng.standard_normal((60, hours.size)))
    load *= np.exp(0.1 * rng.standard_normal((60, 1)))
    full, grows, idle, weak = 0, 7, 13, 20
    if faulty:
        load[full] *= 2.2
        load[grows] = np.minimum(load[grows], 0.6) * (1.0 + 0.7 * hours / hours.size)
        load[idle] *= 0.15
        load[idle - 1] *= np.where(shape < 1.0, 0.4, 1.0)
    cover = np.clip(0.04 + 0.02 * rng.standard_normal((60, hours.size)), 0.0, 1.0)
    if faulty:
        cover[weak] += 0.15
    values = {"prb_utilisation_ratio": np.minimum(load, 1.0), "weak_coverage_ratio": cover}
    seen, limits = Seen(names, 0.0, 3600.0, values), Limits()
    around = surroundings(names)
    late = np.where(np.arange(200) == 5, 0.12 if faulty else 0.01, 0.01)  # noqa: PLR2004
    attempts = rng.poisson(100, (200, DAYS))
    relations = tuple(f"A{k}->B{k}" for k in range(200))
    counters = {
        "MM.HoExeInterReq": attempts.astype(float),
        "HO.IntraSys.TooLate": rng.binomial(attempts, late[:, None]).astype(float),
        "x.HoPingPong": rng.binomial(attempts, 0.04).astype(float),
    }
    daily = Seen(relations, 0.0, 86400.0, counters)
    dated = {f.object for f in forecasts(seen, limits, rng)
             if f.state in (State.WILL, State.MAY, State.FULL)}  # fmt: skip

    def wanted(*which: str) -> set[str]:
        return set(which) if faulty else set()

    return {
        "full cell": (dated & {names[full]}, wanted(names[full]), 60),
        "growing cell": (dated - {names[full]}, wanted(names[grows]), 60),
        "cell to relieve": ({p.full for p in pairs(seen, around, limits)},
                            wanted(names[full]), 60),
        "cell to sleep": ({s.cell for s in sleeps(seen, around, limits, rng)[0]},
                          wanted(names[idle]), 30),
        "weak coverage": ({names[w.row] for w in radio_findings(seen, limits)},
                          wanted(names[weak]), 60),
        "late relation": ({o.steps[0].object_id for o in mobility_advice(daily, limits, rng)},
                          wanted("A5->B5"), 200),
    }  # fmt: skip


# ------------------------------------------------------------------ sleep in weeks not seen


def slept() -> list[Row]:
    """Return how often a covering cell would have been too full in weeks after the advice.

    Twenty networks of thirty sectors with a layer above each, loads with the day, the week, days
    and sites that differ, growth that differs, and one night in a hundred with an event at a
    site. Advice is given on four weeks; the four after them tell what would have come. The power
    of a moved user is taken as the advice takes it, so only the traffic is judged.
    """
    advised = nights = broken = hours_advised = hours_broken = 0
    risks: list[float] = []
    limits = Limits()
    for seed in range(2 * NETWORKS):
        rng = np.random.default_rng([seed, 7])
        names, load = _layers(rng)
        seen = Seen(names, 0.0, 3600.0, {"prb_utilisation_ratio": load[:, : load.shape[1] // 2]})
        found, _ = sleeps(seen, surroundings(names), limits, rng)
        ahead = load[:, load.shape[1] // 2 :].reshape(len(names), -1, 24)
        after = ahead.copy()
        place = {name: row for row, name in enumerate(names)}
        for one in found:
            part = [(one.first_hour + k) % 24 for k in range(one.hours)]
            for host in one.covering:
                moved = PRB_FACTOR * ahead[place[one.cell]] / len(one.covering)
                after[place[host]][:, part] += moved[:, part]
        for one in found:
            part = [(one.first_hour + k) % 24 for k in range(one.hours)]
            over = np.stack([after[place[host]][:, part] for host in one.covering]).max(axis=0)
            over_limit = over > limits.room_ratio
            advised += 1
            risks.append(one.risk)
            nights, broken = nights + len(over), broken + int(over_limit.any(axis=1).sum())
            hours_advised += over_limit.size
            hours_broken += int(over_limit.sum())
    told = float(np.mean(risks))
    return [
        Row("sleep, four weeks not seen: cells advised to sleep", advised / (60 * NETWORKS),
            "share of cells above others"),
        Row("sleep, four weeks not seen: nights in which a covering cell would have been above its "
            f"limit (told: {told:.1%})", broken / nights, "share", f"<= {limits.sleep_risk:g}"),
        Row("sleep, four weeks not seen: of the advised hours", hours_broken / hours_advised,
            "share"),
    ]  # fmt: skip


def _layers(rng: np.random.Generator) -> tuple[tuple[str, ...], Floats]:
    """Return names and hourly loads of eight weeks of thirty sectors with two layers, (60, T)."""
    hours = np.arange(24 * DAYS)
    names = tuple(f"S{k // 3 + 1:02d}-{layer}-{k % 3 + 1}"
                  for k in range(30) for layer in ("L800", "L1800"))  # fmt: skip
    site = np.arange(60) // 6
    course = 0.25 + 0.75 * np.clip(np.sin((hours % 24 - 6) / 24 * np.pi * 1.3), 0.0, 1.0)
    course = course * np.where(hours // 24 % 7 >= 5, 0.8, 1.0)  # noqa: PLR2004  # weekends
    size = rng.lognormal(np.log(0.35), 0.45, (60, 1))
    growth = 1.0 + rng.normal(0.05, 0.15, (60, 1)) * hours / hours.size
    days = np.repeat(rng.lognormal(0.0, 0.1, (60, DAYS)), 24, axis=1)
    load = size * course * growth * days * rng.lognormal(0.0, 0.15, (60, hours.size))
    for day in range(DAYS):
        held = rng.random(10) < 0.01  # noqa: PLR2004  # sites with an event that night
        night = (hours >= 24 * day + 20) & (hours < 24 * day + 26)  # 20 to 2 h
        load[np.ix_(held[site], night)] *= 2.5
    return names, np.minimum(load, 1.0)


def main() -> None:
    """Measure and write the results."""
    rows = [
        *planted(), *slept(), *from_counters(), *steps(CHOSEN, "seeds chosen by", judged=False),
        *steps(SPARE, "spare seeds", judged=True),
    ]  # fmt: skip
    report(
        "analyse_advice", rows, packages=("numpy", "scipy", "numba"),
        notes=(
            "Spreads are half the range over cities and seeds.",
            "Steps of handovers were made one way on half of the relations or cells at once, those "
            "of load on one pair of cells, both ways against each other.",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
