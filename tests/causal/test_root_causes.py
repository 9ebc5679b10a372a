"""Probabilities of fault classes: against a direct formula, and calibrated on known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_t

from cellhive.causal.incidents.root_causes import (
    SOMETHING_ELSE,
    KnownIncidents,
    Weights,
    best_weights,
    component,
    learn,
    log_ratios,
    rank_causes,
)
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

CENTRES = {
    "tilt": np.array([2.0, 0.0, 0.0, 0.0, 0.0]),
    "power": np.array([0.0, -2.0, 0.0, 0.0, 0.0]),
    "surge": np.array([0.0, 0.0, 2.0, 0.0, 0.0]),
}
CELLS = 6
RING = 0.5 * (np.roll(np.eye(CELLS), 1, axis=0) + np.roll(np.eye(CELLS), -1, axis=0))


def incidents(groups: int, each: int, seed: int, spread: float = 0.8) -> KnownIncidents:
    """Return incidents on a ring of cells whose faults also show a little next door."""
    generator = np.random.default_rng(seed)
    classes: list[str] = []
    features: list[Floats] = []
    cells: list[int] = []
    for _ in range(groups * each):
        for name, centre in CENTRES.items():
            cell = int(generator.integers(CELLS))
            values = 0.4 * generator.standard_normal((CELLS, 5))
            values[cell] += centre + spread * generator.standard_normal(5)
            values[RING[cell] > 0, 3] += 1.0
            classes.append(name)
            features.append(values)
            cells.append(cell)
    of = tuple(np.repeat(np.arange(groups), each * len(CENTRES)).tolist())
    return KnownIncidents(
        tuple(classes), of, tuple(features), tuple(cells), (RING,) * len(classes)
    )  # fmt: skip


def test_density_is_that_of_a_student_t() -> None:
    """Against scipy, which computes it by another factorisation."""
    generator = np.random.default_rng(1)
    root = generator.standard_normal((4, 4))
    scale, mean = root @ root.T + np.eye(4), generator.standard_normal(4)
    points = generator.standard_normal((7, 4))
    ours = component(mean, scale, 6.0).log_density(points)
    assert ours == pytest.approx(multivariate_t(mean, scale, df=6.0).logpdf(points))


def test_ratios_are_bayes_rule_written_out() -> None:
    """One hypothesis at a time, one cell at a time."""
    catalogue = learn(incidents(3, 4, 2), CENTRES)
    features = incidents(1, 1, 3).features[0]
    ratios = log_ratios(catalogue, features, RING)
    for k, (own, near) in enumerate(zip(catalogue.faulty, catalogue.beside, strict=True)):
        for cell in range(CELLS):
            wanted = own.log_density(features[cell]) - catalogue.elsewhere.log_density(
                features[cell]
            )
            for other in np.flatnonzero(RING[cell] > 0):
                part = near.log_density(features[other])
                part -= catalogue.elsewhere.log_density(features[other])
                wanted += catalogue.neighbours_count * part
            assert ratios[k, cell] == pytest.approx(wanted)


def test_class_and_cell_are_found_and_probabilities_are_honest() -> None:
    """On incidents not learned from: mostly right, and as often as it says."""
    known = incidents(4, 5, 4)
    weights = best_weights(known, CENTRES, [Weights(temperature=t) for t in (1.0, 1.5, 2.5)])
    catalogue, asked = learn(known, CENTRES, weights), incidents(1, 60, 5)
    right, sure, cells = [], [], []
    for name, features, cell in zip(asked.classes, asked.features, asked.cells, strict=True):
        ranking = rank_causes(catalogue, features, RING)
        assert ranking.probability.sum() == pytest.approx(1.0)
        best, where = ranking.best
        right.append(best == name)
        cells.append(where == cell)
        sure.append(ranking.by_class[best])
    assert np.mean(right) > 0.85
    assert np.mean(cells) > 0.9
    assert np.mean(sure) == pytest.approx(np.mean(right), abs=0.06)


def test_what_no_class_looks_like_is_something_else() -> None:
    """Far from every class, no class is believed."""
    known = incidents(4, 5, 6, spread=0.3)
    catalogue = learn(known, CENTRES, Weights(temperature=1.0, elsewhere_freedom=30.0))
    features = np.zeros((CELLS, 5))
    features[3] = [-9.0, 9.0, -9.0, -9.0, 9.0]
    best, cell = rank_causes(catalogue, features, RING).best
    assert (best, cell) == (SOMETHING_ELSE, 3)


def test_a_class_that_never_happened_is_known_by_its_pattern() -> None:
    """The signs of a motif alone tell it from the others."""
    known = incidents(4, 5, 7).without_class("surge")
    catalogue = learn(known, CENTRES)
    asked = incidents(1, 20, 8)
    of_surge = [k for k, name in enumerate(asked.classes) if name == "surge"]
    found = [rank_causes(catalogue, asked.features[k], RING).best[0] for k in of_surge]
    assert np.mean([name == "surge" for name in found]) > 0.7


def test_incidents_without_a_pattern_are_refused() -> None:
    """Every class that is learned needs its expectation."""
    with pytest.raises(BadInput, match="surge"):
        learn(incidents(1, 1, 9), {"tilt": CENTRES["tilt"], "power": CENTRES["power"]})
