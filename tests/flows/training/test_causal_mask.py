"""What a policy sees follows from the graph, and what it may not see it does not use."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.causal.effects import drawn_mechanisms
from cellhive.causal.motifs import radio_knowledge
from cellhive.causal.posterior import discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput
from cellhive.flows.training.causal_mask import (
    Causes,
    found_causes,
    heads_that_matter,
    heads_with_effect,
    known_causes,
    visible_features,
)
from cellhive.rl.actions import HEADS
from cellhive.rl.observations import features_of


def seen(causes: Causes, heads: list[str], **more: object) -> set[str]:
    """Return the names of what is visible, slots without their number."""
    mask = visible_features(causes, heads, 2, **more)  # type: ignore[arg-type]
    names = [feature.name for feature in features_of(2)]
    return {name.split("[")[0] for name, there in zip(names, mask, strict=True) if there}


def test_a_graph_by_hand() -> None:
    """Tilt to SINR to throughput; load acts on throughput; power on energy alone."""
    names = ("electrical_tilt_deg", "tx_power_dbm", "sinr_mean_db", "prb_utilisation_ratio",
             "ue_throughput_mbps", "PEE.AvgPower", "rsrp_mean_dbm", "rlf_per_ue_min")  # fmt: skip
    edges = np.zeros((8, 8), np.bool_)
    for cause, effect in ((0, 2), (2, 4), (3, 4), (1, 5), (0, 6)):
        edges[cause, effect] = True
    causes = Causes(names, edges)
    targets = ("ue_throughput_mbps", "PEE.AvgPower")
    time = {"day_sine", "day_cosine"}
    tilt = seen(causes, ["electrical_tilt_deg"], targets=targets)
    # RSRP is moved but leads nowhere; the neighbours' load is load too
    assert tilt == time | {"electrical_tilt_deg", "sinr_mean_db", "ue_throughput_mbps",
                           "prb_utilisation_ratio", "neighbour_load_mean", "neighbour_load_max",
                           "load"}  # fmt: skip
    power = seen(causes, ["tx_power_dbm"], targets=targets)
    assert power == time | {"tx_power_dbm", "PEE.AvgPower"}
    both = ["electrical_tilt_deg", "tx_power_dbm"]
    assert seen(causes, both, targets=targets) == tilt | power
    assert heads_that_matter(causes, targets) == ("electrical_tilt_deg", "tx_power_dbm")
    assert heads_that_matter(causes, ("rlf_per_ue_min",)) == ()


def test_what_is_known_of_radio_networks() -> None:
    """A handover timer needs handovers, not watts; every parameter matters somewhere."""
    causes = known_causes()
    assert heads_that_matter(causes) == HEADS
    timer = seen(causes, ["time_to_trigger_s"])
    assert {"time_to_trigger_s", "handover_failure_ratio", "HO.IntraSys.TooLate", "too_late",
            "ping_pong_ratio", "rlf_per_ue_min"} <= timer  # fmt: skip
    assert not {"PEE.AvgPower", "asleep", "rsrp_mean_dbm"} & timer
    asleep = seen(causes, ["asleep"])
    assert "PEE.AvgPower" in asleep
    assert "hysteresis_db" not in asleep


def test_a_model_found_in_data_speaks_for_its_own_quantities() -> None:
    """Made-up counters in which only the tilt acts: the power is then not needed."""
    rng = np.random.default_rng(3)
    rows = 400
    tilt, power = rng.normal(size=(2, rows))
    sinr = 0.9 * tilt + 0.4 * rng.normal(size=rows)
    served = 0.8 * sinr + 0.4 * rng.normal(size=rows)
    names = ("electrical_tilt_deg", "tx_power_dbm", "sinr_mean_db", "demand_satisfied_ratio")
    panel = np.stack([tilt, power, sinr, served], axis=-1)[:, None]
    panel = np.moveaxis(panel, 0, 1)
    posterior = discover(
        statistics_of(panel, names), rng, knowledge=radio_knowledge(names, by_definition=False)
    )
    causes = found_causes(posterior, 0.5)
    assert "sinr_mean_db" in causes.descendants("electrical_tilt_deg")
    assert "sinr_mean_db" not in causes.parents("sinr_mean_db")
    index = causes.names.index
    assert not causes.edges[index("tx_power_dbm"), index("sinr_mean_db")]
    assert causes.edges[index("tx_power_dbm"), index("PEE.AvgPower")]  # known beforehand
    mechanisms = drawn_mechanisms(posterior, rng)
    kept = heads_with_effect(mechanisms, ("demand_satisfied_ratio",), least=0.2, probability=0.5)
    assert "electrical_tilt_deg" in kept
    assert "tx_power_dbm" not in kept
    assert "cio_db" in kept  # the model does not speak of it
    with pytest.raises(BadInput, match="targets"):
        heads_with_effect(mechanisms, ("rlf_per_ue_min",))
    with pytest.raises(BadInput, match="least"):
        found_causes(posterior, 0.0)


def test_what_is_not_seen_is_not_used_however_long_is_learnt() -> None:
    """Masked features change no logit before and after learning; the others do."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
    from cellhive.rl.learning.networks import Actor  # noqa: PLC0415
    from cellhive.rl.learning.restriction import restrict  # noqa: PLC0415
    from cellhive.rl.policy import PolicyShape  # noqa: PLC0415

    shape = PolicyShape(heads=("time_to_trigger_s",), neighbours=2, hidden=8, message=4)
    visible = visible_features(known_causes(), shape.heads, 2)
    assert 10 < visible.sum() < visible.size
    torch.manual_seed(1)
    actor = Actor(shape)
    restrict(actor, visible)
    optimiser = torch.optim.Adam(actor.parameters(), 0.01)
    generator = torch.Generator().manual_seed(1)
    seen_now = torch.rand(4, 3, shape.features, generator=generator)
    near = torch.tensor([[1, 2], [2, 0], [0, -1]])
    for _ in range(20):
        loss = actor(seen_now, near)[..., 0].square().mean() - actor(seen_now, near)[..., 2].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    before = actor(seen_now, near)
    hidden, shown = seen_now.clone(), seen_now.clone()
    hidden[..., ~torch.from_numpy(visible)] += 1.0
    shown[..., torch.from_numpy(visible)] += 1.0
    assert torch.equal(actor(hidden, near), before)
    assert not torch.allclose(actor(shown, near), before)
    with pytest.raises(BadInput, match="features"):
        restrict(actor, visible[:-1])
    uneven = visible.copy()
    uneven[-1] = ~uneven[-1]
    with pytest.raises(BadInput, match="slots"):
        restrict(actor, uneven)
    with pytest.raises(BadInput, match="heads"):
        visible_features(known_causes(), ["volume"], 2)
