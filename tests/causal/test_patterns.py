"""Known patterns: complete, and matched with their signs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cellhive.causal.effects import Mechanisms, drawn_mechanisms
from cellhive.causal.incidents.patterns import PATTERNS, match, match_all, pattern_of
from cellhive.causal.motifs import radio_knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import NotFound
from cellhive.core.schema import QUANTITIES

NAMES = ("RRC.ConnMean", "prb_utilisation_ratio", "ue_throughput_mbps", "demand met")
LIKE = {"demand met": "demand_satisfied_ratio"}


def mechanisms_of(sign: float) -> Mechanisms:
    """Return mechanisms of users -> PRBs -> throughput -> demand, the last but one signed."""
    generator = np.random.default_rng(5)
    values = generator.standard_normal((400, 4))
    values[:, 1] += 1.0 * values[:, 0]
    values[:, 2] += sign * values[:, 1]
    values[:, 3] += 1.0 * values[:, 2]
    statistics = statistics_of(values, NAMES)
    knowledge = radio_knowledge(NAMES, like=LIKE)
    posterior = discover(
        statistics, np.random.default_rng(0), knowledge=knowledge, settings=Settings(graphs=50)
    )
    return drawn_mechanisms(posterior, np.random.default_rng(1))


def test_patterns_speak_of_quantities_that_there_are() -> None:
    """Every name of a path or sign is in the registry, and no path is empty."""
    for pattern in PATTERNS.values():
        named = {name for step in pattern.path for name in (step.cause, step.effect)}
        assert named | set(pattern.departs) <= set(QUANTITIES), pattern.name
        assert pattern.path
        assert pattern.departs
        assert pattern.meaning
        assert pattern.remedy


def test_a_path_is_matched_with_its_signs() -> None:
    """Overload is there where load lowers throughput, and not where it raises it."""
    there = match(pattern_of("overload"), mechanisms_of(-1.0), like=LIKE)
    assert there.probability > 0.95
    assert [one.effect > 0 for one in there.steps] == [True, False, False]
    assert there.steps[0].effect == pytest.approx(1.0, abs=0.2)
    assert there.steps[1].direct < 0.6  # through PRBs
    text = there.explain()
    assert "Its path is there (" in text
    assert "RRC.ConnMean lowers demand met" in text
    against = match(pattern_of("overload"), mechanisms_of(1.0), like=LIKE)
    assert against.probability < 0.05
    assert "Its path is not there" in against.explain()


def test_steps_without_data_are_said_to_be_unseen() -> None:
    """A pattern of which nothing is measured has no probability."""
    lost, late = match_all(
        [pattern_of("lost capacity"), pattern_of("too late handover")], mechanisms_of(-1.0)
    )
    assert math.isnan(late.probability)
    assert "cannot tell" in late.explain()
    assert len(late.unseen) == len(pattern_of("too late handover").path)
    assert lost.unseen
    with pytest.raises(NotFound, match="gremlins"):
        pattern_of("gremlins")
