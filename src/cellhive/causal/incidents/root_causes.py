"""From what changed to what broke: probabilities of fault classes and cells, by Bayes' rule.

A fault class is a motif: signs in which variables are expected to depart from what their
causes explain, at the faulty cell. Incidents with known causes sharpen it: the class mean is
drawn from its motif's signs towards what was seen, and its covariance from that of all
classes (regularised discriminant analysis, Friedman 1989, in its conjugate form), so a class
that was never seen still has a likelihood. Everywhere else the network is as beside a
faulty cell or as always; "something else" is a likelihood that is wide in all directions.

Axis letters: ``F`` features, ``K`` classes, ``C`` cells, ``N`` known incidents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

SOMETHING_ELSE = "something else"
_NEIGHBOUR = 0.08
"""Share of a cell's handovers from which another is its neighbour here."""
_RIDGE = 0.05
_ELSE_SHARE = 0.02
_ELSE_FREEDOM = 4.0


@dataclass(frozen=True)
class Weights:
    """What counts how much."""

    motif_incidents: float = 1.0
    """Incidents that a motif's signs are worth."""
    pooled_incidents: float = 50.0
    """Incidents that the covariance over all classes is worth beside a class's own."""
    diagonal: float = 0.5
    """How far that covariance is drawn to its diagonal, 0 to 1."""
    temperature: float = 2.0
    neighbours_count: float = 0.1
    elsewhere_freedom: float = 5.0


@dataclass(frozen=True)
class Component:
    """A multivariate Student-t over features."""

    mean: Floats
    """(F,)"""
    whitening: Floats
    """Inverse of the lower Cholesky factor of the scale matrix, (F, F)."""
    log_scale: float
    """Half the log determinant of the scale matrix."""
    freedom: float

    def log_density(self, features: Floats) -> Floats:
        """Return the log density at features, (..., F) to (...)."""
        size = len(self.mean)
        whitened = (features - self.mean) @ self.whitening.T
        distance = (whitened**2).sum(axis=-1)
        half = 0.5 * (self.freedom + size)
        constant = (
            gammaln(half) - gammaln(0.5 * self.freedom)
            - 0.5 * size * np.log(self.freedom * np.pi) - self.log_scale
        )  # fmt: skip
        density: Floats = constant - half * np.log1p(distance / self.freedom)
        return density


def component(mean: Floats, scale: Floats, freedom: float) -> Component:
    """Return a Student-t with this mean, scale matrix and degrees of freedom."""
    factor = np.linalg.cholesky(scale)
    whitening = np.linalg.solve(factor, np.eye(len(mean)))
    return Component(mean, whitening, float(np.log(np.diag(factor)).sum()), freedom)


@dataclass(frozen=True)
class KnownIncidents:
    """Incidents whose causes are known, to learn from."""

    classes: tuple[str, ...]
    """Class of each, length N."""
    groups: tuple[int, ...]
    """City of each: those of one city are left out together when checking."""
    features: tuple[Floats, ...]
    """Of all cells of each, (C, F)."""
    cells: tuple[int, ...]
    """The faulty cell of each."""
    beside: tuple[Floats, ...]
    """How much each cell is a neighbour of each, (C, C)."""

    def without(self, group: int) -> KnownIncidents:
        """Return all but those of a group."""
        return self._where([one != group for one in self.groups])

    def of(self, group: int) -> KnownIncidents:
        """Return those of a group."""
        return self._where([one == group for one in self.groups])

    def without_class(self, name: str) -> KnownIncidents:
        """Return all but those of a class."""
        return self._where([one != name for one in self.classes])

    def _where(self, keep: Sequence[bool]) -> KnownIncidents:
        kept = np.flatnonzero(keep)
        return KnownIncidents(
            tuple(self.classes[k] for k in kept), tuple(self.groups[k] for k in kept),
            tuple(self.features[k] for k in kept), tuple(self.cells[k] for k in kept),
            tuple(self.beside[k] for k in kept),
        )  # fmt: skip


@dataclass(frozen=True)
class Catalogue:
    """Likelihoods of features at faulty cells, by class, and elsewhere."""

    classes: tuple[str, ...]
    prior: Floats
    """Probability of each class before data, "something else" last, (K + 1,)."""
    faulty: tuple[Component, ...]
    """One per class, and one for something else."""
    beside: tuple[Component, ...]
    """At the neighbours of a faulty cell, by class; last, of any class."""
    elsewhere: Component
    """At all other cells."""
    temperature: float = 1.0
    """By what log likelihoods are divided: features are less independent than a Student-t
    believes."""
    neighbours_count: float = 0.1
    """What the log likelihood of a neighbour's features counts beside the cell's own: faults
    move all neighbours together."""


@dataclass(frozen=True)
class Ranking:
    """Which class of fault it was, and in which cell."""

    classes: tuple[str, ...]
    """Of the catalogue, and "something else"."""
    probability: Floats
    """Of each class in each cell, (K + 1, C); all sum to 1."""

    @property
    def by_class(self) -> dict[str, float]:
        """Return the probability of each class wherever it is, most probable first."""
        total = self.probability.sum(axis=1)
        order = np.argsort(-total, kind="stable")
        return {self.classes[int(k)]: float(total[k]) for k in order}

    @property
    def best(self) -> tuple[str, int]:
        """Return the most probable class, and the most probable cell given it."""
        which = int(np.argmax(self.probability.sum(axis=1)))
        return self.classes[which], int(np.argmax(self.probability[which]))


def learn(
    known: KnownIncidents, expected: dict[str, Floats], settings: Weights | None = None
) -> Catalogue:
    """Return a catalogue from motifs and known incidents.

    Args:
        known: Incidents with their causes.
        expected: Features that a motif leads to expect, by class, (F,).
        settings: What counts how much.
    """
    asked = settings or Weights()
    strange = sorted(set(known.classes) - set(expected))
    if strange or not known.classes:
        raise BadInput(
            expected="known incidents of classes with a motif",
            found=", ".join(strange) or "no incident at all",
        )
    classes = tuple(expected)
    at = np.array([one[cell] for one, cell in zip(known.features, known.cells, strict=True)])
    means = np.array([expected[name] for name in classes], np.float64)
    faulty, centre, wide = _components(at, known.classes, classes, means, asked)
    faulty.append(component(centre, wide, _ELSE_FREEDOM))
    near, near_label, far = _surroundings(known)
    beside, middle, spread = _components(near, near_label, classes, np.zeros_like(means), asked)
    beside.append(component(middle, spread, _ELSE_FREEDOM))
    scatter = np.cov(far.T) + _RIDGE * np.eye(at.shape[1])
    elsewhere = component(far.mean(axis=0), scatter, asked.elsewhere_freedom)
    prior = np.full(len(classes) + 1, (1.0 - _ELSE_SHARE) / len(classes))
    prior[-1] = _ELSE_SHARE
    return Catalogue(
        classes, prior, tuple(faulty), tuple(beside), elsewhere, asked.temperature,
        asked.neighbours_count,
    )  # fmt: skip


def _components(
    rows: Floats, labels: Sequence[str], classes: Sequence[str], expected: Floats, asked: Weights
) -> tuple[list[Component], Floats, Floats]:
    """Return the predictive density of each class, and mean and scale of all of them."""
    size = rows.shape[1]
    label = np.array([classes.index(one) for one in labels])
    means, counts = expected.copy(), np.bincount(label, minlength=len(classes))
    for k in range(len(classes)):
        total = rows[label == k].sum(axis=0) + asked.motif_incidents * expected[k]
        means[k] = total / (counts[k] + asked.motif_incidents)
    within = rows - means[label]
    pooled = within.T @ within / max(len(rows) - len(classes), 1)
    pooled = (1.0 - asked.diagonal) * pooled + asked.diagonal * np.diag(np.diag(pooled))
    pooled += _RIDGE * np.eye(size)
    parts = [
        _class_component(
            within[label == k], means[k], pooled, float(counts[k]) + asked.motif_incidents,
            asked.pooled_incidents,
        )
        for k in range(len(classes))
    ]  # fmt: skip
    centre = means.mean(axis=0)
    wide = pooled + (means - centre).T @ (means - centre) / len(classes)
    return parts, centre, wide


def _class_component(
    own: Floats, mean: Floats, pooled: Floats, weight: float, strength: float
) -> Component:
    """Return the predictive density of a class: conjugate, its scale drawn to the pooled one."""
    freedom = strength + len(own)
    scale = (strength * pooled + own.T @ own) / freedom
    return component(mean, scale * (1.0 + 1.0 / weight), freedom)


def _surroundings(known: KnownIncidents) -> tuple[Floats, list[str], Floats]:
    """Return features of neighbours of faulty cells with the class, and those of all others."""
    near: list[Floats] = []
    labels: list[str] = []
    far: list[Floats] = []
    for name, features, cell, beside in zip(
        known.classes, known.features, known.cells, known.beside, strict=True
    ):
        others = np.arange(len(features)) != cell
        close = others & (beside[cell] >= _NEIGHBOUR)
        near.append(features[close])
        labels += [name] * int(close.sum())
        far.append(features[others & ~close])
    return np.concatenate(near), labels, np.concatenate(far)


def log_ratios(catalogue: Catalogue, features: Floats, beside: Floats) -> Floats:
    """Return log p(all features | class at cell) less that of a sound network, (K + 1, C).

    Args:
        catalogue: Likelihoods.
        features: Of all cells, (C, F).
        beside: How much each cell is a neighbour of each, (C, C).
    """
    sound = catalogue.elsewhere.log_density(features)
    faulty = np.stack([part.log_density(features) for part in catalogue.faulty]) - sound
    touched = np.stack([part.log_density(features) for part in catalogue.beside]) - sound
    near = (beside >= _NEIGHBOUR) & ~np.eye(len(features), dtype=np.bool_)
    ratios: Floats = faulty + catalogue.neighbours_count * touched @ near.T
    return ratios


def rank_causes(catalogue: Catalogue, features: Floats, beside: Floats) -> Ranking:
    """Return the probability of every class at every cell, given that something broke.

    Args:
        catalogue: Likelihoods.
        features: Of all cells, (C, F).
        beside: How much each cell is a neighbour of each, (C, C).
    """
    score = log_ratios(catalogue, features, beside) / catalogue.temperature
    score = score + np.log(catalogue.prior)[:, None]
    weight = np.exp(score - score.max())
    probability: Floats = weight / weight.sum()
    return Ranking((*catalogue.classes, SOMETHING_ELSE), probability)


def best_weights(
    known: KnownIncidents, expected: dict[str, Floats], options: Sequence[Weights]
) -> Weights:
    """Return the weights that predict best what is left out, city by city.

    Args:
        known: Incidents with their causes, of several cities.
        expected: Features by motif.
        options: Weights to choose from.
    """
    loss = [_left_out_loss(known, expected, one) for one in options]
    return options[int(np.argmin(loss))]


def _left_out_loss(known: KnownIncidents, expected: dict[str, Floats], asked: Weights) -> float:
    """Return minus the log probability of what is left out, per incident."""
    loss = 0.0
    for group in sorted(set(known.groups)):
        part, left = learn(known.without(group), expected, asked), known.of(group)
        for name, features, beside in zip(left.classes, left.features, left.beside, strict=True):
            loss -= np.log(max(rank_causes(part, features, beside).by_class[name], 1e-9))
    return loss / len(known.classes)
