"""Replay of recorded RSRP: what the twin's handover machine would have done, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.ran import counters as n
from cellhive.ran.handover import Procedures, timers
from cellhive.ran.parameters import DEFAULTS
from cellhive.ran.plant import IDLE_LOAD, NO_RELATION_DB, OFF_DBM, Net, Site
from cellhive.ran.simulator import STEP_S, filter_weight, steps_to_trigger
from cellhive.ran.trace.machine import EVENT, Course, Recording, follow
from cellhive.ran.users import EXECUTING, IDLE, LOST, USER, Ground

_ROUNDING = 1e-6
MOST_STEPS = 50_000_000
"""Longest replay in one call: 23 days in steps of 40 ms."""


class Kind(StrEnum):
    """What can happen in a replay, in the order of the machine's codes."""

    TRIGGERED = "handover asked for"
    """Event A3 held for the time to trigger, and the preparation began."""
    HANDOVER = "handover"
    HANDOVER_FAILURE = "handover failure"
    """The target's SINR was below Qout on arrival (TR 36.839, state 3)."""
    RADIO_LINK_FAILURE = "radio link failure"
    """T310 expired; with a target, while a handover was under way (TR 36.839, state 2)."""
    REESTABLISHMENT = "re-establishment"
    PLACED = "placed"
    """The replay began, or lost sight of a cell and was put where the phone was."""


class Label(StrEnum):
    """What a handover or failure is blamed for, TS 38.300 §15.5.2 and TR 36.839."""

    NONE = ""
    PING_PONG = "ping-pong"
    TOO_LATE = "too late"
    TOO_EARLY = "too early"
    WRONG_CELL = "wrong cell"
    COVERAGE_HOLE = "coverage hole"


_KINDS = tuple(Kind)
_LABELS = {
    -1: Label.NONE,
    n.PING_PONG: Label.PING_PONG,
    n.TOO_LATE: Label.TOO_LATE,
    n.TOO_EARLY: Label.TOO_EARLY,
    n.WRONG_CELL: Label.WRONG_CELL,
    n.COVERAGE_HOLE: Label.COVERAGE_HOLE,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a replay."""

    time_s: float
    """Time since the first sample [s]."""
    kind: Kind
    source: int
    """Cell before, or -1."""
    target: int
    """Cell after, or the one that was aimed at, or -1."""
    source_dbm: float
    """RSRP of the source at that moment [dBm]; NaN where it was not measured."""
    target_dbm: float
    """RSRP of the target at that moment [dBm]; NaN where it was not measured."""
    label: Label = Label.NONE


@dataclass(frozen=True)
class ReplaySettings:
    """Parameters of the handover machine, one set for all cells."""

    a3_offset_db: float = DEFAULTS["a3_offset_db"]
    hysteresis_db: float = DEFAULTS["hysteresis_db"]
    time_to_trigger_s: float = DEFAULTS["time_to_trigger_s"]
    filter_coefficient: float = DEFAULTS["filter_coefficient"]
    cio_db: Floats | None = None
    """Cell individual offset from each cell to each other [dB], (C, C); None is 0 dB."""
    procedures: Procedures = field(default_factory=lambda: Procedures(measurement_error_db=0.0))
    """Timers and thresholds. Recorded levels carry the errors of the phone already."""
    join_s: float = 3.0
    """Samples of a cell at most this far apart are joined by a straight line [s]."""
    hold_s: float = 3.0
    """How long the last sample of a cell stands before the cell is absent [s]."""
    floor_dbm: float | None = None
    """Level of a cell that is not measured [dBm]; None: it is unknown, and a user who
    depends on it is put where the recording says the phone was."""


@dataclass(frozen=True)
class Replayed:
    """What happened in a replay; arrays are (N,), one value per step."""

    step_s: float
    events: tuple[Event, ...]
    serving: Ints
    """Serving cell; -1 without a link, or where the replay cannot know."""
    rsrp_dbm: Floats32
    """RSRP of the serving cell [dBm]; NaN where there is none."""
    sinr_db: Floats32
    """SINR in the serving cell [dB]; NaN where there is none."""
    interrupted: npt.NDArray[np.bool_]
    """Whether no data can flow: a handover is being executed, or the link is lost."""
    in_sight: npt.NDArray[np.bool_]
    """Whether the recording holds the cells the user depends on."""

    def count(self, kind: Kind, label: Label | None = None) -> int:
        """Return how many events of a kind, and with a label, there were."""
        return sum(e.kind is kind and label in (None, e.label) for e in self.events)


def joined_levels(rsrp_dbm: Floats, dt_s: float, join_s: float, hold_s: float) -> Floats:
    """Return recorded levels with short gaps filled [dBm], (T, C).

    Between two samples of a cell at most ``join_s`` apart the level lies on the straight
    line (in dB). After the last sample before a longer gap it stands for ``hold_s``, and
    is NaN from then on: not measured.

    Args:
        rsrp_dbm: Recorded RSRP [dBm], (T, C); NaN where a cell was not measured.
        dt_s: Time between samples [s].
        join_s: Longest gap that is bridged [s].
        hold_s: How long a last sample stands [s].
    """
    filled = np.array(rsrp_dbm, np.float64)
    join, hold = int(join_s / dt_s + _ROUNDING), int(hold_s / dt_s + _ROUNDING)
    for column in filled.T:
        known = np.flatnonzero(np.isfinite(column))
        ends = np.append(known[1:], column.size + join + hold)
        for here, there in zip(known.tolist(), ends.tolist(), strict=True):
            if there - here == 1:
                continue
            if there < column.size and there - here <= join:
                column[here : there + 1] = np.linspace(
                    column[here], column[there], there - here + 1
                )
            else:
                column[here + 1 : min(there, here + hold + 1)] = column[here]
    return filled


def replay_rsrp(
    rsrp_dbm: Floats,
    dt_s: float,
    settings: ReplaySettings | None = None,
    *,
    interference: Floats | float = 0.5,
    sinr_db: Floats | None = None,
    recorded: tuple[Ints | None, Ints | None] = (None, None),
) -> Replayed:
    """Return what the handover machine of the twin does when it meets recorded levels.

    The machine is the kernel's, in steps of 40 ms: layer-3 filter and event A3 (TS 38.331
    §5.5.3.2, §5.5.4.4), preparation and execution, radio link monitoring with T310,
    re-establishment, labels. Levels between samples lie on straight lines in dB; see
    ``joined_levels`` for gaps. The past radio is taken as it was: a user in another cell
    would have changed the interference, and the replay does not.

    Args:
        rsrp_dbm: Recorded RSRP of every cell [dBm], (T, C); NaN where it was not measured.
        dt_s: Time between samples [s].
        settings: Parameters; the defaults of the twin where there are none.
        interference: Share of its power with which each cell interferes with others on its
            carrier, 0 to 1; one number, (C,), or (T, C). Cells outside the recording do not.
        sinr_db: Recorded SINR in each cell [dB], (T, C), NaN where there is none. It replaces
            the derived one in radio link monitoring and when a command is to be heard.
        recorded: Serving cell of the phone, (T,), -1 where it is unknown; and carrier of each
            cell, (C,). Without the first, a replay begins in the strongest cell; without the
            second, all are on one carrier.

    Raises:
        BadInput: Shapes do not fit, or a value cannot be.
    """
    settings = settings or ReplaySettings()
    _check(rsrp_dbm, dt_s, settings)
    samples, cells = rsrp_dbm.shape
    serving = np.full(samples, -1, np.int32) if recorded[0] is None else recorded[0]
    carrier = np.zeros(cells, np.int32) if recorded[1] is None else recorded[1]
    if serving.shape != (samples,) or not np.all((serving >= -1) & (serving < cells)):
        raise BadInput(
            place="recorded serving cell", expected=f"{samples} cells from -1 to {cells - 1}",
            found=f"shape {serving.shape}, up to {serving.max(initial=-1)}",
        )  # fmt: skip
    levels = joined_levels(rsrp_dbm, dt_s, settings.join_s, settings.hold_s)
    absent = OFF_DBM if settings.floor_dbm is None else settings.floor_dbm
    recording = Recording(
        rsrp_dbm=np.where(np.isfinite(levels), levels, absent).astype(np.float32),
        load=_spread(interference, (samples, cells), "interference"),
        sinr=_linear(sinr_db, (samples, cells)),
        serving=serving.astype(np.int32),
        samples_per_step=STEP_S / dt_s,
    )
    steps = 1 + int((samples - 1) * dt_s / STEP_S + _ROUNDING)
    course = _empty_course(steps)
    net, site = _stage(settings, carrier.astype(np.int32))
    count = follow(net, site, recording, course)
    return _told(course, count)


def _check(rsrp_dbm: Floats, dt_s: float, settings: ReplaySettings) -> None:
    """Refuse what cannot be replayed.

    Raises:
        BadInput: It cannot.
    """
    if rsrp_dbm.ndim != 2 or not rsrp_dbm.size:  # noqa: PLR2004 - samples and cells
        raise BadInput(
            place="rsrp_dbm", expected="levels of shape (samples, cells)",
            found=f"shape {rsrp_dbm.shape}",
        )  # fmt: skip
    if not dt_s >= STEP_S - _ROUNDING or rsrp_dbm.shape[0] * dt_s / STEP_S > MOST_STEPS:
        raise BadInput(
            place="dt_s", expected=f"{STEP_S:g} s or more, and at most {MOST_STEPS} steps of it",
            found=f"{rsrp_dbm.shape[0]} samples {dt_s:g} s apart",
            remedy="average faster samples to 40 ms first",
        )  # fmt: skip
    known = rsrp_dbm[np.isfinite(rsrp_dbm)]
    if known.size and not -200 < known.min() <= known.max() < 50:  # noqa: PLR2004 - any radio
        raise BadInput(
            place="rsrp_dbm", expected="levels from -200 to 50 dBm, NaN where there is none",
            found=f"{known.min():g} to {known.max():g}",
        )  # fmt: skip
    for name in ("time_to_trigger_s", "hysteresis_db", "filter_coefficient", "join_s", "hold_s"):
        value = getattr(settings, name)
        if not 0 <= value < np.inf:
            raise BadInput(place=name, expected="0 or more", found=f"{value:g}")
    cells = rsrp_dbm.shape[1]
    if settings.cio_db is not None and settings.cio_db.shape != (cells, cells):
        raise BadInput(
            place="cio_db", expected=f"offsets of shape ({cells}, {cells})",
            found=f"shape {settings.cio_db.shape}",
        )  # fmt: skip


def _spread(values: Floats | float, shape: tuple[int, int], name: str) -> Floats32:
    """Return shares as (T, C) float32."""
    try:
        spread = np.broadcast_to(np.asarray(values, np.float64), shape)
    except ValueError as error:
        raise BadInput(
            place=name, expected=f"one number, {shape[1:]} or {shape}",
            found=f"shape {np.shape(values)}",
        ) from error  # fmt: skip
    if not np.all((spread >= 0) & (spread <= 1)):
        raise BadInput(place=name, expected="shares from 0 to 1", found=f"up to {spread.max():g}")
    return np.ascontiguousarray(spread, np.float32)


def _linear(sinr_db: Floats | None, shape: tuple[int, int]) -> Floats32:
    """Return recorded SINR as ratios, -1 where there is none, (T, C)."""
    if sinr_db is None:
        return np.full(shape, -1.0, np.float32)
    if sinr_db.shape != shape:
        raise BadInput(place="sinr_db", expected=f"shape {shape}", found=f"shape {sinr_db.shape}")
    known = np.isfinite(sinr_db)
    return np.where(known, 10 ** (np.where(known, sinr_db, 0.0) / 10), -1.0).astype(np.float32)


def _empty_course(steps: int) -> Course:
    return Course(
        serving=np.full(steps, -1, np.int32),
        state=np.zeros(steps, np.int8),
        rsrp_dbm=np.zeros(steps, np.float32),
        sinr=np.zeros(steps, np.float32),
        events=np.zeros(steps + 1, EVENT),
    )


def _stage(settings: ReplaySettings, carrier: Ints) -> tuple[Net, Site]:
    """Return a network of one user and no ground, with the settings in every cell."""
    cells = carrier.size
    offset = np.zeros((cells, cells)) if settings.cio_db is None else settings.cio_db.copy()
    np.fill_diagonal(offset, NO_RELATION_DB)
    zeros, none = np.zeros(cells, np.float32), np.zeros((1, 1), np.float32)

    def everywhere(value: float) -> Floats32:
        return np.full(cells, value, np.float32)

    user = np.zeros(1, USER)
    user["serving"] = user["target"] = -1
    net = Net(
        seed=np.uint32(0),
        gain_db=none,
        users=user,
        l3_dbm=np.full((1, cells), OFF_DBM, np.float32),
        trigger=np.full((1, cells), -1, np.float32),
        power_dbm=zeros,
        offset_db=offset.astype(np.float32),
        bias_db=zeros,
        a3_db=everywhere(settings.a3_offset_db + settings.hysteresis_db),
        trigger_steps=everywhere(float(steps_to_trigger(np.array(settings.time_to_trigger_s)))),
        l3_weight=everywhere(float(filter_weight(np.array(settings.filter_coefficient)))),
        closing=np.zeros(cells, np.int32),
        watts=np.zeros((cells, 3)),
        activity=np.zeros(1),
        load=zeros,
        sharing=zeros,
        connected=zeros,
        cells=np.zeros((cells, n.CELL_ACCUMULATORS)),
        relations=np.zeros((1, n.RELATION_ACCUMULATORS)),
    )
    site = Site(
        west_m=0.0, south_m=0.0, pixel_m=1.0, rows=1, columns=1,
        carrier=carrier, carriers=int(carrier.max()) + 1, prbs=np.zeros(cells),
        relation=np.full((cells, cells), -1, np.int32),
        ground=Ground(0.0, 0.0, 0.0, 0.0, 1.0, 0.0), traffic=np.zeros(5),
        timers=timers(settings.procedures, STEP_S), diversity_users=1.0, idle_load=IDLE_LOAD,
    )  # fmt: skip
    return net, site


def _told(course: Course, count: int) -> Replayed:
    """Return what the machine has written as values that travel."""
    held = course.serving >= 0
    with np.errstate(divide="ignore"):
        sinr_db = 10 * np.log10(np.where(held, np.maximum(course.sinr, 1e-6), 1.0))
    return Replayed(
        step_s=STEP_S,
        events=tuple(_event(record) for record in course.events[:count]),
        serving=course.serving,
        rsrp_dbm=np.where(held, course.rsrp_dbm, np.nan).astype(np.float32),
        sinr_db=np.where(held, sinr_db, np.nan).astype(np.float32),
        interrupted=(course.state == EXECUTING) | (course.state == LOST),
        in_sight=course.state != IDLE,
    )


def _event(record: np.void) -> Event:
    def level(value: float) -> float:
        return value if value > OFF_DBM else float("nan")

    return Event(
        time_s=round(int(record["step"]) * STEP_S, 6),
        kind=_KINDS[int(record["kind"])],
        source=int(record["source"]),
        target=int(record["target"]),
        source_dbm=level(float(record["source_dbm"])),
        target_dbm=level(float(record["target_dbm"])),
        label=_LABELS[int(record["label"])],
    )
