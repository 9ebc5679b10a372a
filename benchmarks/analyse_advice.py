"""Does what an analysis recommends agree with what is known to be right?

    python benchmarks/analyse_advice.py             about ten minutes on one core

Three parts. What a step does, in the twin: every branch has the same users and fading, so the
difference is the step's. From these the rules of thumb come that are used where nothing was tried
in a network. What is recommended from the twin's own counters: late handovers on a highway must
be made earlier, and a healthy city must be left alone. And synthetic networks with planted faults:
how many are found, and how much is recommended where nothing was planted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from _bench import Row, report

from cellhive.adapters.scenarios import scenario_named
from cellhive.core.types import Change, Floats, Plan
from cellhive.diagnose.advice.balance import pairs
from cellhive.diagnose.advice.capacity import State, forecasts
from cellhive.diagnose.advice.coverage import radio_findings
from cellhive.diagnose.advice.energy import sleeps
from cellhive.diagnose.advice.mobility import mobility_advice
from cellhive.diagnose.advice.network import surroundings
from cellhive.diagnose.advice.recommendation import Limits, Seen
from cellhive.ran.parameters import step_on_grid
from cellhive.ran.scenarios import build_twin
from cellhive.ran.simulator import Twin

CITIES = ("highway-corridor", "hex-urban", "healthy")
SEEDS, PERIODS, OBSERVED_S = (1, 2, 3, 4), 12, 120.0
EVENTS = ("HO.IntraSys.TooLate", "HO.IntraSys.TooEarly", "x.HoPingPong",
          "MM.HoExeInterSucc", "MM.HoExeInterFail")  # fmt: skip
NETWORKS, DAYS = 10, 56
MORNING, EVENING = 8, 22


# ------------------------------------------------------------------ what a step does


def handover_steps() -> list[Row]:
    """Return what a step earlier or later does to events, in branches of the twin."""
    ended: dict[str, list[float]] = defaultdict(list)
    grown: dict[str, list[float]] = defaultdict(list)
    for city in CITIES:
        for seed in SEEDS:
            twin = build_twin(scenario_named(city), seed, observed_s=OBSERVED_S)
            branches = {
                (name, places): _stepped(twin, name, places)
                for name in ("cio_db", "time_to_trigger_s") for places in (1, -1)
            }  # fmt: skip
            base = _events(twin)
            for (name, places), branch in branches.items():
                earlier = (places > 0) == (name == "cio_db")
                after = _events(branch)
                late, soon = after[0] / base[0], (after[1] + after[2]) / (base[1] + base[2])
                key = f"{name} one value {'earlier' if earlier else 'later'}"
                ended[key].append(1.0 - (late if earlier else soon))
                grown[key].append(soon if earlier else late)
    rows = []
    for key, shares in ended.items():
        low, high = min(shares), max(shares)
        rows += [
            Row(f"{key}: share of its events that end, median", float(np.median(shares)),
                "share", spread=(high - low) / 2),
            Row(f"{key}: factor by which the others grow, median", float(np.median(grown[key])),
                "factor", spread=(max(grown[key]) - min(grown[key])) / 2),
        ]  # fmt: skip
    return rows


def _stepped(twin: Twin, name: str, places: int) -> Twin:
    branch, network = twin.clone(), twin.network
    now = getattr(twin.parameters(), name)
    changes = []
    for at, value in enumerate(now.tolist()):
        cell, target = network.cell_ids[at] if name != "cio_db" else "", None
        if name == "cio_db":
            cell = network.cell_ids[network.relation_source[at]]
            target = network.cell_ids[network.relation_target[at]]
        after = step_on_grid(name, value, places)
        changes.append(Change(cell, name, value, after, target))
    branch.apply(Plan("step", "operator", twin.time_s, tuple(changes)))
    return branch


def _events(twin: Twin) -> Floats:
    total = np.zeros(len(EVENTS))
    for _ in range(PERIODS):
        frame = twin.observe()
        total += [float(frame.relation_column(f"{name}.nCI").sum()) for name in EVENTS]
    return total


def load_steps() -> list[Row]:
    """Return what 2 dB towards a neighbour and 2 dB back add to its load."""
    moved: dict[str, list[float]] = defaultdict(list)
    for city in ("hex-urban", "mis-tilted", "stadium-surge"):
        for seed in SEEDS[:3]:
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
                kind = "another carrier of its sector" if same else "a neighbour"
                moved[kind].append(_load_moved(twin, source, target))
    return [
        Row(f"2 dB from a full cell to {kind}: PRB utilisation added there, median",
            float(np.median(values)), "ratio", spread=(max(values) - min(values)) / 2)
        for kind, values in moved.items()
    ]  # fmt: skip


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


# ------------------------------------------------------------------ from the twin's counters


def from_counters() -> list[Row]:
    """Return what is recommended from the relation counters of twins."""
    rows = []
    for city in ("highway-corridor", "healthy"):
        earlier = later = wrong = relations = 0
        for seed in SEEDS[:2]:
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
            relations += sum(1 for row in values["MM.HoExeInterSucc"] if row.sum() >= 20)  # noqa: PLR2004
            for one in found:
                up = one.steps[0].by > 0
                earlier, later = earlier + up, later + (not up)
                row = names.index(one.steps[0].object_id)
                late = values["HO.IntraSys.TooLate"][row].sum()
                soon = sum(values[name][row].sum() for name in EVENTS[1:3])
                wrong += (3.0 * late >= soon) != up
        rows += [
            Row(f"{city}: relations with 20 handovers", float(relations), ""),
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


def main() -> None:
    """Measure and write the results."""
    rows = [*planted(), *from_counters(), *handover_steps(), *load_steps()]
    report(
        "analyse_advice", rows, packages=("numpy", "scipy", "numba"),
        notes=(
            "Spreads are half the range over cities and seeds.",
            "Steps of handovers were made on every relation or cell at once, those of load on one "
            "pair of cells, both ways against each other.",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
