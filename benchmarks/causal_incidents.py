"""Root causes of injected faults on the twin: classes of fault, cells, calibration.

What tells causes apart is learned from incidents in some cities, and judged on incidents in
others: other seeds (other shadowing, users, cells, severities) and other recipes (distance of
sites, carrier, users, hour of the day). The judge sees counters, KPIs and the configuration as
it is reported; beside half of the incidents something harmless is reconfigured near by.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from _bench import Row, report

from cellhive.causal.incidents.root_causes import (
    SOMETHING_ELSE,
    Catalogue,
    Ranking,
    learn,
    rank_causes,
)
from cellhive.core.types import Floats
from cellhive.flows.incidents.cases import CAUSES, Case, Recipe, incident_cases
from cellhive.flows.incidents.causes import (
    OPTIONS,
    case_evidence,
    expected_features,
    known_incidents,
    learned_causes,
)

JUDGE = (
    Recipe(sites=8, inter_site_distance_m=480.0, carrier_hz=2.1e9, tilt_deg=11.0, start_h=16.0,
           users_per_cell=25.0, hot_spot_share=0.3),
    Recipe(sites=9, inter_site_distance_m=620.0, tilt_deg=10.0, street_share=0.35,
           users_per_cell=27.0),
    Recipe(sites=10, inter_site_distance_m=430.0, carrier_hz=2.6e9, tilt_deg=12.0,
           users_per_cell=23.0, peak_share=0.44),
)  # fmt: skip
"""Kinds of city to judge on."""
LEARN_SEED, JUDGE_SEED = 1201, 7001
_SEED = 20261126
_BINS = 10


def made(task: tuple[Recipe, int]) -> list[Case]:
    """Return the incidents of one city, one of each class."""
    return incident_cases(*task)


def varied_recipe(seed: int) -> Recipe:
    """Return a kind of city to learn from: every one is another, over a range of networks."""
    generator = np.random.default_rng([seed, 9])
    distance_m = float(generator.uniform(380.0, 720.0))
    return Recipe(
        sites=int(generator.choice([7, 8, 9, 10, 12])),
        inter_site_distance_m=distance_m,
        carrier_hz=float(generator.choice([2.1e9, 2.6e9, 3.5e9])),
        users_per_cell=float(generator.uniform(21.0, 30.0)),
        peak_share=float(generator.uniform(0.39, 0.45)),
        indoor_share=float(generator.uniform(0.2, 0.4)),
        street_share=float(generator.uniform(0.25, 0.5)),
        hot_spot_share=float(generator.uniform(0.25, 0.4)),
        tilt_deg=round(2.0 * float(np.interp(distance_m, [380.0, 720.0], [12.5, 8.5]))) / 2.0,
        start_h=float(generator.integers(9, 16)),
    )


def cities(tasks: Sequence[tuple[Recipe, int]]) -> list[list[Case]]:
    """Return the incidents of some cities, made on all processors."""
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(made, tasks))


@dataclass(frozen=True)
class Judged:
    """What was said of incidents, and what was true."""

    truth: tuple[str, ...]
    cells: tuple[int, ...]
    rankings: tuple[Ranking, ...]

    def top(self, most: int) -> Floats:
        """Return whether the true class is among the first few, (N,)."""
        return np.array(
            [
                truth in list(one.by_class)[:most]
                for truth, one in zip(self.truth, self.rankings, strict=True)
            ],
            np.float64,
        )

    def cell_right(self) -> float:
        """Return the share of incidents whose cell is found."""
        pairs = zip(self.cells, self.rankings, strict=True)
        return float(np.mean([one.best[1] == cell for cell, one in pairs]))

    def calibration(self) -> tuple[float, float]:
        """Return expected calibration error of the first answer, and mean log loss."""
        sure = np.array([one.by_class[one.best[0]] for one in self.rankings])
        right, error = self.top(1), 0.0
        place = np.minimum((sure * _BINS).astype(int), _BINS - 1)
        for k in range(_BINS):
            here = place == k
            if here.any():
                error += here.mean() * abs(right[here].mean() - sure[here].mean())
        given = [one.by_class[name] for name, one in zip(self.truth, self.rankings, strict=True)]
        return float(error), float(-np.log(np.maximum(given, 1e-12)).mean())

    def confusions(self) -> list[str]:
        """Return which classes are taken for which, most often first."""
        pairs = Counter(
            (truth, one.best[0])
            for truth, one in zip(self.truth, self.rankings, strict=True)
            if one.best[0] != truth
        )
        return [f"{a} taken for {b}: {count}" for (a, b), count in pairs.most_common()]


def judged(catalogue: Catalogue, cases: Sequence[Case], features: Sequence[Floats],
           beside: Sequence[Floats]) -> Judged:  # fmt: skip
    """Return what a catalogue says of incidents."""
    rankings = [rank_causes(catalogue, f, b) for f, b in zip(features, beside, strict=True)]
    return Judged(
        tuple(case.cause for case in cases),
        tuple(case.network.cell_index[case.cell] for case in cases), tuple(rankings),
    )  # fmt: skip


def rows_of(ours: Judged, plain: Judged, unknown: float) -> list[Row]:
    """Return the figures."""
    right, count = ours.top(1), len(ours.truth)
    by_class = {
        name: float(right[[truth == name for truth in ours.truth]].mean()) for name in CAUSES
    }
    worst = min(by_class, key=by_class.__getitem__)
    error, loss = ours.calibration()
    plain_error, plain_loss = plain.calibration()
    share, plain_share = float(right.mean()), float(plain.top(1).mean())
    spread = float(np.sqrt(share * (1 - share) / count))
    peer = "same, from plain changes"
    return [
        Row("right class first", share, "", ">= 0.95", peer, plain_share, share / plain_share,
            spread),
        Row("right class among the first two", float(ours.top(2).mean()), "", "", peer,
            float(plain.top(2).mean())),
        Row("right cell first", ours.cell_right(), "", "", peer, plain.cell_right()),
        Row("expected calibration error", error, "", "", peer, plain_error),
        Row("log loss of the true class", loss, "nat", "", peer, plain_loss, plain_loss / loss),
        Row(f"right class first, worst class ({worst})", by_class[worst], ""),
        Row("classes", float(len(by_class)), "", ">= 8"),
        Row("incidents", float(count), ""),
        Row("probability of 'something else' for a class never learned", unknown, ""),
    ]  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--learn", type=int, default=16, help="cities to learn from")
    parser.add_argument("--judge", type=int, default=13, help="cities to judge on")
    options = parser.parse_args()
    seeds = range(LEARN_SEED, LEARN_SEED + options.learn)
    taught = cities([(varied_recipe(seed), seed) for seed in seeds])
    learned = learned_causes(taught, np.random.default_rng(_SEED), OPTIONS)
    known = [case for city in taught for case in city]
    tasks = [(JUDGE[k % len(JUDGE)], JUDGE_SEED + k) for k in range(options.judge)]
    asked = [case for city in cities(tasks) for case in city]
    evidence = [case_evidence(learned.mechanisms, case) for case in asked]
    beside = [one.beside for one in evidence]
    features = [one.features() for one in evidence]
    ours = judged(learned.catalogue, asked, features, beside)

    shown = [case_evidence(learned.mechanisms, case) for case in known]
    expected = expected_features(tuple(CAUSES))
    weights = learned.weights
    marginal = learn(known_incidents(known, shown, marginal=True), expected, weights)
    plain = judged(marginal, asked, [one.features(marginal=True) for one in evidence], beside)

    full = known_incidents(known, shown)
    unknown = []
    for name in CAUSES:
        part = learn(full.without_class(name), {k: v for k, v in expected.items() if k != name},
                     weights)  # fmt: skip
        for case, one, near in zip(asked, features, beside, strict=True):
            if case.cause == name:
                unknown.append(rank_causes(part, one, near).by_class[SOMETHING_ELSE])
    report(
        "causal_incidents", rows_of(ours, plain, float(np.mean(unknown))),
        packages=("numpy", "numba", "scipy"),
        notes=(
            f"{len(CAUSES)} classes: {', '.join(CAUSES)}",
            f"learned from {len(taught)} cities, each of a recipe drawn at random (seeds from "
            f"{LEARN_SEED}), judged on {options.judge} cities of {len(JUDGE)} recipes within the "
            f"range of those (seeds from {JUDGE_SEED}); one incident of each class in each city",
            "every incident that was injected counts, whether or not it can be seen",
            "plain changes: the same likelihoods, from changes against the usual values in place "
            "of what the causal posterior leaves unexplained",
            f"weights chosen on the cities learned from: {replace(weights)}",
            *(ours.confusions() or ["nothing confused"]),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
