"""Root causes of an incident: from frames and configuration to ranked classes of fault.

Features of a cell are by how much its mechanisms departed from what their causes explain, how
much those of its neighbours did, and what was changed in its configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import Mechanisms, drawn_mechanisms
from cellhive.causal.incidents.departures import Departures, departures, usual_of
from cellhive.causal.incidents.patterns import pattern_of
from cellhive.causal.incidents.root_causes import (
    SOMETHING_ELSE,
    Catalogue,
    KnownIncidents,
    Ranking,
    Weights,
    best_weights,
    learn,
    rank_causes,
)
from cellhive.causal.motifs import radio_knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import Statistics, statistics_of
from cellhive.core.types import Floats, KpiFrame, Network, Parameters
from cellhive.flows.incidents.cases import Case
from cellhive.flows.incidents.panel import (
    FLOORS,
    LIKE,
    NEXT_DOOR,
    ON_THE_MAST,
    OWN,
    SETTINGS,
    VARIABLES,
    masts_of,
    panel_of,
    settings_changed,
    weights_of,
)

_TYPICAL = 1.0
"""Size of a feature that a pattern leads to expect."""
_HINTS: dict[str, tuple[str, ...]] = {
    "too late handover": ("+handovers set later",),
    "ping-pong": ("-handovers set later", "+handovers in", "+ping-pongs next door"),
    "missing neighbour": ("+lost target", "+not handed over", "+late towards one site"),
    "overshooting": ("+partners' distance", "+handovers in"),
    "tilted too far down": ("-partners' distance", "-handovers in", "+users next door"),
    "turned antenna": ("+partners aside", "+other targets", "+users next door"),
    "coverage hole": ("-partners ahead", "+other targets", "+users next door"),
    "power loss": ("+users next door",),
    "cell outage": ("-handovers in", "+users next door"),
    "sleeping cell": ("+refused by it", "+users next door"),
}
"""What patterns lead to expect beyond the registry's quantities: on relations, next door, and in
the configuration."""
_SCALE = 4.0
"""Standard errors at which a departure begins to count less than in proportion."""
_VARIES = 1e-12
_SHOWN_SIGMAS = 2.0
_SHOWN = 5
FEATURES = (
    *VARIABLES,
    *(f"{name} next door" for name in NEXT_DOOR),
    *(f"{name} on the mast" for name in ON_THE_MAST),
    "handovers set later", "tilt set", "power set",
)  # fmt: skip
"""Of a cell, in order."""


def _variance(panel: Floats) -> Floats:
    """Return the variance of each variable around the cells' means, (V,)."""
    known = np.isfinite(panel)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, panel, 0.0).sum(axis=0) / count
    variance: Floats = (np.where(known, panel - mean, 0.0) ** 2).mean(axis=(0, 1))
    return variance


def learned_mechanisms(
    panels: Sequence[Floats], generator: np.random.Generator, *, graphs: int = 100
) -> Mechanisms:
    """Return mechanisms drawn from the posterior of sound periods of several networks.

    Args:
        panels: Of each network, (T, C, V) with the variables of a panel.
        generator: Where chance comes from.
        graphs: Kept by each chain.
    """
    varying = np.flatnonzero(np.mean([_variance(panel) for panel in panels], axis=0) > _VARIES)
    names = [VARIABLES[int(k)] for k in varying]
    pooled: Statistics | None = None
    for panel in panels:
        one = statistics_of(panel[:, :, varying], names, within_cells=True)
        pooled = one if pooled is None else pooled.merged(one)
    assert pooled is not None  # noqa: S101
    knowledge = radio_knowledge(
        names, like={name: LIKE[name] for name in names}, by_definition=False
    )
    posterior = discover(pooled, generator, knowledge=knowledge, settings=Settings(graphs=graphs))
    return drawn_mechanisms(posterior, generator)


@dataclass(frozen=True)
class Evidence:
    """What is known of an incident, per cell."""

    departures: Departures
    beside: Floats
    """How much each cell is a neighbour of each, (C, C)."""
    on_the_mast: Floats
    """Share of each cell in the other cells of each cell's site, (C, C)."""
    settings: Floats
    """(C, 5), see ``panel.SETTINGS``."""

    def features(self, *, marginal: bool = False) -> Floats:
        """Return the features of all cells, (C, F).

        Args:
            marginal: Whether to take plain changes in place of what causes leave unexplained.
        """
        changed = self.departures.marginal_sigmas if marginal else self.departures.sigmas
        own = np.arcsinh(changed / _SCALE)
        aside = VARIABLES.index("partners aside")  # to which side does not matter
        own[:, aside] = np.abs(own[:, aside])
        near = self.beside @ own[:, [VARIABLES.index(name) for name in NEXT_DOOR]]
        mast = self.on_the_mast @ own[:, [VARIABLES.index(name) for name in ON_THE_MAST]]
        later = self.settings[:, 0] + self.settings[:, 1]  # an octave is worth about 1 dB
        return np.concatenate(
            [own, near, mast, np.stack([later, self.settings[:, 2], self.settings[:, 3]], axis=1)],
            axis=1,
        )


def evidence_of(
    mechanisms: Mechanisms, network: Network, before: Sequence[KpiFrame],
    during: Sequence[KpiFrame], settings: tuple[Parameters, Parameters],
) -> Evidence:  # fmt: skip
    """Return what is known of an incident.

    Args:
        mechanisms: Of sound networks.
        network: The network.
        before: Sound periods of it.
        during: Periods of the incident.
        settings: Configuration before and during.
    """
    usual = usual_of(mechanisms, VARIABLES, panel_of(network, before, before), FLOORS)
    changed = departures(usual, panel_of(network, during, before))
    return Evidence(
        changed, weights_of(network, before), masts_of(network),
        settings_changed(network, settings[0], settings[1]),
    )  # fmt: skip


def case_evidence(mechanisms: Mechanisms, case: Case) -> Evidence:
    """Return the evidence of a case with a known cause, which is not looked at."""
    return evidence_of(
        mechanisms, case.network, case.before, case.during,
        (case.configured_before, case.configured),
    )  # fmt: skip


def known_incidents(
    cases: Sequence[Case], evidence: Sequence[Evidence], *, marginal: bool = False
) -> KnownIncidents:
    """Return cases with their evidence as incidents to learn from.

    Cases of one network are one group.
    """
    faulty = [case.network.cell_index[case.cell] for case in cases]
    groups: dict[int, int] = {}
    for case in cases:
        groups.setdefault(id(case.network), len(groups))
    return KnownIncidents(
        tuple(case.cause for case in cases),
        tuple(groups[id(case.network)] for case in cases),
        tuple(one.features(marginal=marginal) for one in evidence),
        tuple(faulty),
        tuple(one.beside for one in evidence),
    )


# ------------------------------------------------------------------ learning, and telling


def expected_features(causes: Sequence[str]) -> dict[str, Floats]:
    """Return the features that the pattern of each class leads to expect, (F,) each."""
    expected = {}
    for cause in causes:
        features, departs = np.zeros(len(FEATURES)), pattern_of(cause).departs
        for index, name in enumerate(OWN):
            features[index] = _TYPICAL * departs.get(OWN[name], 0)
        for hint in _HINTS.get(cause, ()):
            features[FEATURES.index(hint[1:])] = _TYPICAL * (1 if hint[0] == "+" else -1)
        expected[cause] = features
    return expected


OPTIONS = tuple(
    Weights(temperature=temperature, neighbours_count=count)
    for temperature in (1.0, 1.3, 1.7, 2.1, 2.6)
    for count in (0.05, 0.1)
)
"""What learning chooses from, by what it leaves out city by city."""


@dataclass(frozen=True)
class Learned:
    """What tells causes apart: mechanisms of sound networks, and likelihoods of faults."""

    mechanisms: Mechanisms
    catalogue: Catalogue
    weights: Weights
    """What counted how much."""


def learned_causes(
    cities: Sequence[Sequence[Case]], generator: np.random.Generator,
    options: Sequence[Weights] = OPTIONS,
) -> Learned:  # fmt: skip
    """Return what incidents of known causes teach.

    Args:
        cities: Cases of each city, which share their sound periods.
        generator: Where chance comes from.
        options: Weights to choose from.
    """
    sound = [panel_of(city[0].network, city[0].before, city[0].before) for city in cities]
    mechanisms = learned_mechanisms(sound, generator)
    cases = [case for city in cities for case in city]
    known = known_incidents(cases, [case_evidence(mechanisms, case) for case in cases])
    expected = expected_features(tuple(dict.fromkeys(known.classes)))
    weights = best_weights(known, expected, options)
    return Learned(mechanisms, learn(known, expected, weights), weights)


@dataclass(frozen=True)
class Causes:
    """Why an incident happened, with probability."""

    ranking: Ranking
    evidence: Evidence
    cell_ids: tuple[str, ...]

    @property
    def best(self) -> tuple[str, str, float]:
        """Return the most probable class, the cell, and the probability of the class."""
        name, cell = self.ranking.best
        return name, self.cell_ids[cell], self.ranking.by_class[name]

    def explain(self) -> str:
        """Return it in words, with the numbers that speak for it."""
        name, cell, share = self.best
        others = [
            f"{other} {value:.2f}"
            for other, value in self.ranking.by_class.items()
            if other != name and value >= 0.005  # noqa: PLR2004
        ]
        lines = [f"{name} at {cell}, probability {share:.2f}"]
        lines[0] += f" (else: {', '.join(others[:4])})" if others else ""
        if name != SOMETHING_ELSE:
            lines.append("  " + pattern_of(name).meaning)
        lines += self._changed(self.cell_ids.index(cell))
        return "\n".join(lines)

    def _changed(self, cell: int) -> list[str]:
        """Return which mechanisms of a cell changed, and which changes causes explain."""
        found = self.evidence.departures
        order = np.argsort(-np.abs(found.sigmas[cell]), kind="stable")[:_SHOWN]
        lines = [
            f"  {found.names[k]}: {found.marginal[cell, k]:+.2f}, of which its causes explain "
            f"{found.marginal[cell, k] - found.unexplained[cell, k]:+.2f} "
            f"({found.sigmas[cell, k]:+.1f} standard errors left)"
            for k in order
            if abs(found.sigmas[cell, k]) >= _SHOWN_SIGMAS
        ]
        sets = [
            f"{name} {value:+.3g}"
            for name, value in zip(SETTINGS, self.evidence.settings[cell], strict=True)
            if value
        ]
        return [*lines, f"  configuration changed: {', '.join(sets)}"] if sets else lines


def causes_of(
    learned: Learned, network: Network, before: Sequence[KpiFrame],
    during: Sequence[KpiFrame], settings: tuple[Parameters, Parameters],
) -> Causes:  # fmt: skip
    """Return why an incident happened: classes of fault and cells with probability.

    Args:
        learned: Mechanisms and likelihoods.
        network: The network.
        before: Sound periods of it.
        during: Periods of the incident.
        settings: Configuration before and during.
    """
    evidence = evidence_of(learned.mechanisms, network, before, during, settings)
    ranking = rank_causes(learned.catalogue, evidence.features(), evidence.beside)
    return Causes(ranking, evidence, network.cell_ids)
