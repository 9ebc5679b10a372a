"""What is known of radio networks: complete, consistent, and of use."""

import numpy as np
import pytest

from cellhive.causal.graph import Edge, average_precision, constraints_of
from cellhive.causal.motifs import TIERS, Tier, radio_knowledge, tier_of
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.schema import PARAMETERS, QUANTITIES


def test_every_quantity_of_the_schema_has_its_tier() -> None:
    """The registry and the tiers name the same quantities."""
    assert set(TIERS) == set(QUANTITIES)
    assert all(TIERS[parameter.name] is Tier.CONFIGURATION for parameter in PARAMETERS)


@pytest.mark.parametrize("lags", [0, 2])
def test_knowledge_of_the_whole_schema_does_not_contradict_itself(lags: int) -> None:
    """Every statement at once makes constraints, with the tiers' directions."""
    names = tuple(QUANTITIES)
    known = constraints_of(radio_knowledge(names, lags), names, lags)
    at = names.index
    assert not known.allowed[at("ue_throughput_mbps"), at("sinr_mean_db")]
    assert not known.allowed[at("cio_db"), at("electrical_tilt_deg")]
    assert not known.allowed[at("PEE.AvgPower"), at("demand_satisfied_ratio")]
    assert known.required[at("x.HoPingPong"), at("ping_pong_ratio")]
    assert known.preference[at("prb_utilisation_ratio"), at("ue_throughput_mbps")] == 3.0
    assert known.preference[at("cio_db"), at("ue_throughput_mbps")] == -1.0
    if lags:
        assert known.allowed[len(names) + at("ue_throughput_mbps"), at("cio_db")]


def test_only_edges_between_given_variables_are_stated() -> None:
    """Nothing is said of variables that there are not."""
    names = ("sinr_mean_db", "tx_power_dbm", "prb_utilisation_ratio")
    known = radio_knowledge(names, 1)
    edges = {*known.forbidden, *known.required, *known.encouraged}
    assert {name for edge in edges for name in (edge.cause, edge.effect)} <= set(names)
    assert Edge("sinr_mean_db", "prb_utilisation_ratio", 0) in known.encouraged


def test_a_variable_of_another_name_is_like_one_of_the_schema() -> None:
    """An unknown name is told, and borrows tier and edges."""
    names = ("load of neighbours", "sinr_mean_db", "ue_throughput_mbps")
    with pytest.raises(NotFound, match="load of neighbours"):
        radio_knowledge(names)
    known = radio_knowledge(names, like={"load of neighbours": "prb_utilisation_ratio"})
    assert known.tiers["load of neighbours"] == Tier.LOAD
    assert known.encouraged[Edge("load of neighbours", "ue_throughput_mbps", 0)] == 3.0
    with pytest.raises(BadInput, match="spare"):
        radio_knowledge(("asleep",), like={"spare": "asleep"})
    with pytest.raises(NotFound, match="colour"):
        tier_of("x", {"x": "colour"})


def test_knowledge_orients_what_data_alone_cannot() -> None:
    """A chain that data cannot orient is oriented by tiers."""
    names = ("rsrp_mean_dbm", "sinr_mean_db", "prb_utilisation_ratio", "ue_throughput_mbps")
    generator = np.random.default_rng(3)
    noise = generator.standard_normal((400, 4))
    values = noise.copy()
    for effect in range(1, 4):  # a chain: its class has four members
        values[:, effect] += 0.8 * values[:, effect - 1]
    truth = np.zeros((1, 4, 4), np.bool_)
    truth[0, [0, 1, 2], [1, 2, 3]] = True
    statistics = statistics_of(values, names)
    few = Settings(graphs=100)
    blind = discover(statistics, np.random.default_rng(0), settings=few)
    told = discover(
        statistics, np.random.default_rng(0), knowledge=radio_knowledge(names), settings=few
    )
    told_right = average_precision(told.edge_probability(), truth)
    assert told_right > 0.99 > average_precision(blind.edge_probability(), truth)
