"""A stage: a few cells whose levels the test sets, and users who stand or drive there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.core.types import Network
from cellhive.ran import counters as n
from cellhive.ran.handover import Procedures
from cellhive.ran.parameters import default_parameters
from cellhive.ran.radio_map import RadioMap
from cellhive.ran.simulator import STEP_S, Simulator, World
from cellhive.ran.users import Ground, Traffic, UserMix

PIXEL_M, COLUMNS, ROWS = 100.0, 21, 2
RE_POWER_DBM = 46 - 10 * np.log10(12 * 106)


def stage_network(cells: int, relations: list[tuple[int, int]] | None = None) -> Network:
    """Return omnidirectional cells "A", "B", … in one place, all neighbours unless told."""
    if relations is None:
        relations = [(i, j) for i in range(cells) for j in range(cells) if i != j]
    return Network(
        name="stage",
        cell_ids=tuple("ABCDEFGH"[:cells]),
        site_ids=tuple("ABCDEFGH"[:cells]),
        x_m=np.zeros(cells),
        y_m=np.zeros(cells),
        height_m=np.full(cells, 25.0),
        azimuth_deg=np.zeros(cells),
        mechanical_tilt_deg=np.zeros(cells),
        carrier_hz=np.full(cells, 2.1e9),
        bandwidth_hz=np.full(cells, 20e6),
        environment=("UMa",) * cells,
        coverage_cell=np.ones(cells, np.bool_),
        protected=np.zeros(cells, np.bool_),
        relation_source=np.array([i for i, _ in relations], np.int32),
        relation_target=np.array([j for _, j in relations], np.int32),
        omnidirectional=np.ones(cells, np.bool_),
    )


class Stage:
    """One network of which every level is set by hand; no measurement errors, long sessions."""

    def __init__(
        self,
        cells: int = 3,
        *,
        users: int = 1,
        relations: list[tuple[int, int]] | None = None,
        procedures: Procedures | None = None,
        **parameters: Any,
    ) -> None:
        """Set up the stage; ``parameters`` as for ``default_parameters``, and ``cio_db``."""
        network = stage_network(cells, relations)
        radio_map = RadioMap(
            0.0, -50.0, PIXEL_M, ROWS, COLUMNS,
            np.zeros((1, ROWS * COLUMNS), np.float32), np.zeros(cells, np.int32),
        )  # fmt: skip
        world = World(
            network=network,
            radio_map=radio_map,
            ground=Ground(0.0, -50.0, 2000.0, 50.0, 120.0, 0.0),
            mix=UserMix(users, indoor_share=1.0, pedestrian_share=0.0, street_share=0.0,
                        indoor_loss_db=(0.0, 0.0)),
            traffic=Traffic(gbr_share=0.0, mean_session_s=1e9, mean_pause_s=1.0),
            procedures=replace(procedures or Procedures(), measurement_error_db=0.0),
            carrier_offset_db=np.zeros(cells),
        )  # fmt: skip
        cio = parameters.pop("cio_db", np.zeros(network.relations))
        settings = {"filter_coefficient": 0.0, "a3_offset_db": 3.0, "time_to_trigger_s": 0.0}
        initial = default_parameters(network, **(settings | parameters))
        self.simulator = Simulator(world, [replace(initial, cio_db=np.asarray(cio))], [1])
        self.simulator.plant.activity[:] = 1.0
        self.users = self.simulator.plant.users[0]
        self.users["wait"] = 0.0

    def levels(self, *dbm: float) -> None:
        """Set the RSRP of every cell, everywhere [dBm]."""
        self.simulator.plant.gain_db[0, :, : len(dbm)] = np.array(dbm) - RE_POWER_DBM

    def slopes(self, *lines: tuple[float, float]) -> None:
        """Set the RSRP of every cell as (level at x = 0 [dBm], slope [dB/m])."""
        x_m = np.tile(np.arange(COLUMNS) * PIXEL_M, ROWS)
        for cell, (start, slope) in enumerate(lines):
            self.simulator.plant.gain_db[0, :, cell] = start + slope * x_m - RE_POWER_DBM

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.simulator.advance(round(seconds / STEP_S))

    def steps_until(self, happened: Callable[[], bool], most: int = 500) -> int:
        """Advance step by step and return after how many steps something has happened."""
        for step in range(1, most + 1):
            self.simulator.advance(1)
            if happened():
                return step
        message = f"expected it within {most} steps"
        raise AssertionError(message)

    def sleep(self, *cells: int) -> None:
        """Switch cells off at once, and all others on."""
        asleep = np.zeros(self.simulator.world.network.cells, np.bool_)
        asleep[list(cells)] = True
        parameters = replace(self.simulator.parameters(0), asleep=asleep)
        self.simulator.set_parameters(0, parameters)

    def count(self, column: int, cell: int | None = None) -> float:
        """Return an accumulator of one cell, or of all."""
        column_of_all = self.simulator.plant.cells[0, :, column]
        return float(column_of_all.sum() if cell is None else column_of_all[cell])

    def relation(self, column: int, source: int, target: int) -> float:
        """Return an accumulator of one relation."""
        index = self.simulator.world.network.relation_index[source, target]
        return float(self.simulator.plant.relations[0, index, column])

    def labels(self) -> dict[str, list[int]]:
        """Return the cells that were blamed, label by label; nothing else was counted."""
        columns = {
            "too late": n.TOO_LATE,
            "too early": n.TOO_EARLY,
            "wrong cell": n.WRONG_CELL,
            "coverage hole": n.COVERAGE_HOLE,
        }
        counted = {
            name: [int(c) for c in np.repeat(*self._blamed(column))]
            for name, column in columns.items()
        }
        return {name: cells for name, cells in counted.items() if cells}

    def _blamed(self, column: int) -> tuple[Any, Any]:
        counts = self.simulator.plant.cells[0, :, column].astype(int)
        return np.arange(counts.size), counts


@pytest.fixture
def stage() -> type[Stage]:
    """The class of stages."""
    return Stage
