"""The twin on the runs of the ns-3 study of event A3, and how far the two agree.

The study swept A3 offset and time to trigger with the packet-level simulator ns-3 and its
module 5G-LENA. Its rows are not part of CellHive: whoever has them passes them in.
``docs/validation-handover.md`` gives the reason for every choice made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from scipy.stats import rankdata

from cellhive.core.types import Floats, Network, Parameters
from cellhive.ran import counters as n
from cellhive.ran.handover import RULE_36839, RULE_38331, Procedures
from cellhive.ran.link import NOISE_FIGURE_DB
from cellhive.ran.parameters import default_parameters
from cellhive.ran.simulator import STEP_S, Simulator, World
from cellhive.ran.users import Traffic, UserMix
from cellhive.ran.validation.urban_grid import Place, build_place, grid_ground, place_vehicles

TX_POWER_DBM, STUDY_NOISE_FIGURE_DB = 40.0, 5.0
"""Power of a site [dBm] and noise figure of a user [dB] in the study."""
LIGHT_TRAFFIC_MBPS = 0.016
"""Ten packets of 200 bytes a second [Mbit/s], the study's traffic."""

RANK_LEAST = 0.9
"""Least rank correlation of handovers per user and minute, over the rows compared."""
RATIO_LEAST, RATIO_MOST = 0.8, 1.25
"""Limits of the median ratio of the twin's handovers to those of ns-3."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Everything about a run of the study but the setting of event A3."""

    site_distance_m: int
    """Distance between neighbouring sites along a street [m]."""
    speed_m_s: float
    users: int = 20
    preparation_s: float = 0.05
    """Time from the measurement report to the handover command [s]."""
    t310_s: float = 1.0
    measured_s: float = 90.0
    """Time over which events are counted [s]."""
    warm_up_s: float = 60.0
    """Time before counting starts [s]."""


@dataclass(frozen=True, slots=True)
class A3Setting:
    """How event A3 is set in all cells."""

    offset_db: float
    time_to_trigger_s: float

    @property
    def quantised_s(self) -> float:
        """The time to trigger that the twin applies [s]: rounded up to whole steps."""
        return float(np.ceil(self.time_to_trigger_s / STEP_S - 1e-6) * STEP_S)


@dataclass(frozen=True, slots=True)
class Choices:
    """What has more than one defensible answer; the defaults are what is reported."""

    interference: float = 0.05
    """Share of its power with which a site without traffic interferes."""
    n310: int = 4
    """Windows of 200 ms below Qout that start T310."""
    n311: int = 4
    """Windows of 100 ms above Qin that stop it."""
    rule: int = RULE_36839
    """When a handover command is lost, as in ``Procedures.rule``."""
    measurement_error_db: float = 0.0
    """Sigma of an L1 measurement averaged over 200 ms [dB]."""
    shadowing: float = 1.0
    """Factor on the sigma of shadowing."""
    car_loss: bool = True
    """Whether users at car speeds have the loss into a car."""
    turn_back: bool = False
    """Whether vehicles may turn round at the edge of the grid."""


REPORTED = Choices()
ALTERNATIVES: dict[str, Choices] = {
    "as reported": REPORTED,
    "link monitoring as the twin has it (N310 = N311 = 1)": Choices(n310=1, n311=1),
    "commands repeated until heard (TS 38.331)": Choices(rule=RULE_38331),
    "the twin's own procedures (both of the above)": Choices(n310=1, n311=1, rule=RULE_38331),
    "every site always transmits at full power": Choices(interference=1.0),
    "measurement error of 1.22 dB": Choices(measurement_error_db=1.22),
    "no loss into cars": Choices(car_loss=False),
    "no shadowing": Choices(shadowing=0.0),
    "vehicles turn round at the edge": Choices(turn_back=True),
}
"""Other answers, each differing in one thing from what is reported."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened, per user and minute of the counted time."""

    handovers: float
    """Attempts: handovers for which the source has asked the target."""
    links_lost: float
    """Radio link failures, commands lost while T310 ran among them."""
    executions_failed: float
    """Handovers that ended in a target too weak; ns-3 has no such failures."""
    ping_pongs: float
    """Returns to the source within the minimum time of stay of ``Procedures``."""
    sinr_db: float
    """Mean SINR in the serving cell [dB]."""

    @property
    def failures(self) -> float:
        """All mobility failures."""
        return self.links_lost + self.executions_failed


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One row of the study: a run or the mean of some."""

    part: str
    """"A", "B" or "C"."""
    condition: Condition
    setting: A3Setting
    handovers: float
    """Per user and minute, as the other rates."""
    unnecessary: float
    """Handovers after a short stay or with little gain: wider than ping-pong."""
    failures: float
    sinr_db: float
    variant: str = ""
    """What part C has changed."""


# ------------------------------------------------------------------ runs


def simulate(
    place: Place,
    condition: Condition,
    settings: Sequence[A3Setting],
    seed: int,
    choices: Choices = REPORTED,
) -> list[Rates]:
    """Run the twin under each setting and return what was counted, in the same order.

    The runs share shadowing, vehicles and every random draw: they differ by the setting only.

    Args:
        place: From ``build_place``, for the condition's distance.
        condition: Vehicles, procedures and times.
        settings: Settings of event A3.
        seed: Draws vehicles and turns.
        choices: What has more than one defensible answer.
    """
    parameters = [_parameters(place.network, setting) for setting in settings]
    world = _world(place, condition, choices)
    simulator = Simulator(world, parameters, [seed] * len(settings))
    vehicles = place_vehicles(
        condition.users, condition.speed_m_s, np.random.default_rng([seed, 2]),
        car_loss=choices.car_loss,
    )  # fmt: skip
    for e in range(len(settings)):
        simulator.set_users(e, vehicles)
    simulator.plant.activity[:] = 1.0
    simulator.advance(round(condition.warm_up_s / STEP_S))
    simulator.clear_counters()
    simulator.advance(round(condition.measured_s / STEP_S))
    minutes = condition.users * condition.measured_s / 60.0
    return [_rates(simulator.plant.cells[e], minutes) for e in range(len(settings))]


def _parameters(network: Network, setting: A3Setting) -> Parameters:
    # The noise of the twin's users is higher than that of the study's: as much more power
    # makes the ratio of signal to noise the same.
    power_dbm = TX_POWER_DBM + NOISE_FIGURE_DB - STUDY_NOISE_FIGURE_DB
    return default_parameters(
        network,
        tx_power_dbm=power_dbm,
        a3_offset_db=setting.offset_db,
        hysteresis_db=0.0,
        time_to_trigger_s=setting.time_to_trigger_s,
    )


def _world(place: Place, condition: Condition, choices: Choices) -> World:
    procedures = Procedures(
        preparation_s=condition.preparation_s,
        t310_s=condition.t310_s,
        n310=choices.n310,
        n311=choices.n311,
        measurement_error_db=choices.measurement_error_db,
        rule=choices.rule,
    )
    return World(
        network=place.network,
        radio_map=place.radio_map,
        ground=grid_ground(turn_back=choices.turn_back),
        mix=UserMix(condition.users, indoor_share=0.0, pedestrian_share=0.0, street_share=1.0),
        # Everybody has one session that never ends.
        traffic=Traffic(
            elastic_mbps=LIGHT_TRAFFIC_MBPS, gbr_share=0.0, mean_session_s=1e9, mean_pause_s=1.0
        ),
        procedures=procedures,
        carrier_offset_db=np.zeros(place.network.cells),
        idle_load=choices.interference,
    )


def _rates(cells: Floats, minutes: float) -> Rates:
    total = cells.sum(axis=0)
    return Rates(
        handovers=float(total[n.PREPARATION_REQUEST] / minutes),
        links_lost=float(total[n.RADIO_LINK_FAILURE] / minutes),
        executions_failed=float(total[n.EXECUTION_FAILURE] / minutes),
        ping_pongs=float(total[n.PING_PONG] / minutes),
        sinr_db=float(total[n.SINR_DB] / max(total[n.MEASURED], 1.0)),
    )


def mean_rates(runs: Iterable[Rates]) -> Rates:
    """Return the mean of runs, each as heavy as the others."""
    return Rates(*np.mean([astuple(run) for run in runs], axis=0).tolist())


def run_study(
    rows: Sequence[StudyRow],
    seeds: Sequence[int],
    choices: Choices = REPORTED,
    told: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run the twin on the conditions and settings of the rows and return both side by side.

    Args:
        rows: Rows of the study.
        seeds: Seeds; each is another shadowing and other vehicles, and the mean counts.
        choices: What has more than one defensible answer.
        told: Called with the runs done and the runs there are.
    """
    groups: dict[Condition, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row.condition, []).append(index)
    places = sorted({condition.site_distance_m for condition in groups})
    found: list[list[Rates]] = [[] for _ in rows]
    done = 0
    for seed in seeds:
        for distance_m in places:
            place = build_place(distance_m, seed, choices.shadowing)
            for condition, members in groups.items():
                if condition.site_distance_m != distance_m:
                    continue
                settings = [rows[index].setting for index in members]
                for index, rates in zip(
                    members, simulate(place, condition, settings, seed, choices), strict=True
                ):
                    found[index].append(rates)
                done += len(members)
                if told is not None:
                    told(done, len(rows) * len(seeds))
    return Comparison(tuple(rows), tuple(mean_rates(runs) for runs in found), tuple(seeds))


# ------------------------------------------------------------------ comparison


@dataclass(frozen=True)
class Comparison:
    """Rows of the study beside what the twin had on the same conditions and settings."""

    rows: tuple[StudyRow, ...]
    twin: tuple[Rates, ...]
    seeds: tuple[int, ...] = ()

    def of_part(self, part: str) -> Comparison:
        """Return the rows of one part."""
        return self.where(lambda row: row.part == part)

    def where(self, wanted: Callable[[StudyRow], bool]) -> Comparison:
        """Return the rows that are wanted."""
        kept = [
            (row, rates) for row, rates in zip(self.rows, self.twin, strict=True) if wanted(row)
        ]
        rows, twin = [row for row, _ in kept], [rates for _, rates in kept]
        return replace(self, rows=tuple(rows), twin=tuple(twin))

    def study(self, name: str) -> Floats:
        """Return a rate of ns-3, a field of ``StudyRow``, (N,)."""
        return np.array([getattr(row, name) for row in self.rows], np.float64)

    def ours(self, name: str) -> Floats:
        """Return a rate of the twin, a field or property of ``Rates``, (N,)."""
        return np.array([getattr(rates, name) for rates in self.twin], np.float64)

    @property
    def handover_ratios(self) -> Floats:
        """Handovers of the twin over those of ns-3, (N,)."""
        return np.asarray(self.ours("handovers") / self.study("handovers"))

    @property
    def median_ratio(self) -> float:
        """Median of ``handover_ratios``."""
        return float(np.median(self.handover_ratios))

    @property
    def handover_rank(self) -> float:
        """Spearman's rank correlation of handovers."""
        return rank_correlation(self.ours("handovers"), self.study("handovers"))

    @property
    def failure_rank(self) -> float:
        """Spearman's rank correlation of failures."""
        return rank_correlation(self.ours("failures"), self.study("failures"))

    def failure_ratio(self, name: str = "failures") -> float:
        """Return the twin's mean failures over those of ns-3.

        Args:
            name: Which of the twin's: "failures", or "links_lost", which is what ns-3 can have.
        """
        theirs = float(self.study("failures").mean())
        return float(self.ours(name).mean()) / theirs if theirs > 0 else float("nan")

    @property
    def agrees(self) -> bool:
        """Whether handovers are within both limits."""
        return self.handover_rank >= RANK_LEAST and RATIO_LEAST <= self.median_ratio <= RATIO_MOST


def rank_correlation(left: Floats, right: Floats) -> float:
    """Return Spearman's rank correlation; ties share their mean rank; NaN where nothing varies."""
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(left), rankdata(right))[0, 1])


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """Means over the rows that share one value of one thing."""

    value: float
    rows: int
    twin: Rates
    handovers: float
    """Of ns-3, as the other fields without a name of their own."""
    unnecessary: float
    failures: float


def trend(comparison: Comparison, by: Callable[[StudyRow], float]) -> list[TrendPoint]:
    """Return the means over rows by a value of theirs, ascending.

    Args:
        comparison: Rows and what the twin had.
        by: The value of a row, such as its time to trigger.
    """
    points = []
    for value in sorted({by(row) for row in comparison.rows}):
        same = comparison.where(lambda row, value=value: by(row) == value)  # type: ignore[misc]
        points.append(
            TrendPoint(
                value,
                len(same.rows),
                mean_rates(same.twin),
                *(float(same.study(name).mean()) for name in
                  ("handovers", "unnecessary", "failures")),
            )
        )  # fmt: skip
    return points
