"""Parameters are read, changed and compared without surprises."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.core.errors import BadInput, Conflict, NotFound
from cellhive.core.schema import PARAMETERS, Per
from cellhive.core.types import Change, Network
from cellhive.ran.layout import hex_grid, with_relations
from cellhive.ran.parameters import (
    DEFAULTS,
    apply_changes,
    default_parameters,
    diff,
    loop_slack_db,
    snap,
    step_on_grid,
    value_of,
)


@pytest.fixture
def network() -> Network:
    """One site of three cells that are all neighbours, but for 3 to 1."""
    source, target = np.array([0, 0, 1, 1, 2]), np.array([1, 2, 0, 2, 1])
    return with_relations(hex_grid(1, 500.0), source, target)


def cio(network: Network, source: int, target: int, before: float, after: float) -> Change:
    """Return the change of the offset of a relation, cells by index."""
    return Change(
        network.cell_ids[source], "cio_db", before, after, target=network.cell_ids[target]
    )


def test_defaults_cover_every_cell_parameter_and_lie_on_its_grid(network: Network) -> None:
    """Every parameter of the schema has a default that a network can be set to."""
    parameters = default_parameters(network)
    for quantity in PARAMETERS:
        values = getattr(parameters, quantity.name)
        assert values.shape == (
            (network.relations,) if quantity.per is Per.RELATION else (network.cells,)
        )
        assert all(min(abs(point - v) for point in quantity.grid) < 1e-9 for v in values)


def test_defaults_can_be_given_per_network_or_per_cell(network: Network) -> None:
    """A number counts for all cells, an array for one each; the rest stays as it is."""
    parameters = default_parameters(
        network, a3_offset_db=2.0, electrical_tilt_deg=np.array([4.0, 5.0, 6.0])
    )
    assert parameters.a3_offset_db.tolist() == [2.0, 2.0, 2.0]
    assert parameters.electrical_tilt_deg.tolist() == [4.0, 5.0, 6.0]
    assert parameters.tx_power_dbm.tolist() == [DEFAULTS["tx_power_dbm"]] * 3


def test_defaults_of_the_wrong_length_are_refused(network: Network) -> None:
    """The message names the parameter and both lengths."""
    with pytest.raises(BadInput, match=r"tx_power_dbm: expected one number or 3 .*\(2,\)"):
        default_parameters(network, tx_power_dbm=np.array([43.0, 43.0]))


def test_a_change_is_seen_in_the_copy_only(network: Network) -> None:
    """apply_changes returns new parameters and leaves the given ones alone."""
    before = default_parameters(network)
    change = cio(network, 1, 2, 0.0, 2.0)
    after = apply_changes(before, network, [change])
    assert value_of(after, network, change) == 2.0
    assert value_of(before, network, change) == 0.0
    assert value_of(after, network, ("S01-1", "cio_db", "S01-2")) == 0.0


def test_sleep_is_read_as_a_number(network: Network) -> None:
    """A sleeping cell reads 1, an awake one 0."""
    before = default_parameters(network)
    after = apply_changes(before, network, [Change("S01-2", "asleep", 0.0, 1.0)])
    assert after.asleep.tolist() == [False, True, False]
    assert value_of(after, network, ("S01-2", "asleep", None)) == 1.0


def test_changes_of_one_plan_follow_one_another(network: Network) -> None:
    """A second change of the same thing starts from what the first one wrote."""
    steps = [cio(network, 0, 1, 0.0, 1.0), cio(network, 0, 1, 1.0, 3.0)]
    after = apply_changes(default_parameters(network), network, steps)
    assert after.cio_db[0] == 3.0


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (Change("S99-1", "asleep", 0, 1), NotFound, "expected a cell .* found 'S99-1'"),
        (Change("S01-1", "colour", 0, 1), NotFound, r"expected a parameter .* found 'colour'"),
        (Change("S01-1", "PEE.Energy", 0, 1), NotFound, r"expected a parameter"),
        (Change("S01-3", "cio_db", 0, 1, "S01-1"), NotFound, "relation .* found S01-3->S01-1"),
        (Change("S01-1", "cio_db", 0, 1), BadInput, "S01-1: expected a target cell"),
        (Change("S01-1", "asleep", 0, 1, "S01-2"), BadInput, "expected no target cell"),
        (Change("S01-1", "electrical_tilt_deg", 5, 6), Conflict, "= 5, found 6; read"),
        (Change("S01-1", "electrical_tilt_deg", 6, 16), BadInput, "0 to 15 deg, found 16"),
        (Change("S01-1", "electrical_tilt_deg", 6, float("nan")), BadInput, "found nan"),
        (Change("S01-1", "electrical_tilt_deg", float("nan"), 6), Conflict, "= nan"),
    ],
)
def test_what_cannot_be_changed_is_refused(
    network: Network, change: Change, error: type[Exception], words: str
) -> None:
    """Each kind of wrong change has an error that says expected and found."""
    with pytest.raises(error, match=words):
        apply_changes(default_parameters(network), network, [change])


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("cio_db", 6.9, 6.0),  # the grid goes 5, 6, 8
        ("cio_db", 7.0, 6.0),  # equally near: the lower one
        ("cio_db", 7.1, 8.0),
        ("cio_db", -30.0, -24.0),
        ("time_to_trigger_s", 0.3, 0.32),
        ("time_to_trigger_s", 0.45, 0.48),
        ("electrical_tilt_deg", 6.3, 6.5),
    ],
)
def test_values_snap_to_the_grid_of_the_standard(
    parameter: str, value: float, expected: float
) -> None:
    """Nearest values by hand from TS 38.331 Q-OffsetRange and TimeToTrigger."""
    assert snap(parameter, value) == expected


@pytest.mark.parametrize(
    ("value", "steps", "expected"),
    [(0.48, -1, 0.32), (0.32, -1, 0.256), (0.48, 1, 0.512), (0.0, -3, 0.0), (5.12, 1, 5.12)],
)
def test_steps_follow_the_grid_and_stop_at_its_ends(
    value: float, steps: int, expected: float
) -> None:
    """Times to trigger one after the other, TS 38.331 TimeToTrigger."""
    assert step_on_grid("time_to_trigger_s", value, steps) == expected


def test_the_difference_leads_from_one_to_the_other(network: Network) -> None:
    """diff lists exactly what was changed, and applying it gives the same parameters."""
    before = default_parameters(network)
    changes = (
        cio(network, 2, 1, 0.0, -2.0),
        Change("S01-1", "hysteresis_db", 0.0, 0.5),
        Change("S01-3", "asleep", 0.0, 1.0),
    )
    after = apply_changes(before, network, changes)
    assert set(diff(network, before, after)) == set(changes)
    assert diff(network, after, apply_changes(before, network, diff(network, before, after))) == ()


def test_loop_slack_counts_both_ways(network: Network) -> None:
    """By hand: thresholds 3 + 1 and 3 + 0, offsets 2 + 1; no way back means no loop."""
    parameters = default_parameters(network, hysteresis_db=np.array([1.0, 0.0, 0.0]))
    parameters.cio_db[:] = [2.0, 24.0, 1.0, 0.0, 0.0]
    slack = loop_slack_db(network, parameters)
    assert slack.tolist() == [4.0, np.inf, 4.0, 6.0, 6.0]
