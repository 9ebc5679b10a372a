"""A comparison of a drive test as lines of text, for the screen and the page alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cellhive.core.types import to_jsonable
from cellhive.flows.drive import CAVEATS, Case, Comparison
from cellhive.flows.drive_tally import Tally
from cellhive.reports.numbers import format_duration, format_number

UNKNOWN, NOTHING = "not known", "–"
_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the comparison."""

    name: str
    texts: tuple[str, ...]
    """As recorded, then per case."""
    meaning: str


def settings_text(case: Case) -> str:
    """Return the parameters of a case in one line."""
    one = case.settings
    return (
        f"A3 {one.a3_offset_db:g} dB, hysteresis {one.hysteresis_db:g} dB,"
        f" TTT {one.time_to_trigger_s * 1e3:g} ms, k {one.filter_coefficient:g},"
        f" T310 {one.procedures.t310_s * 1e3:g} ms"
    )


def comparison_lines(compared: Comparison) -> list[Line]:
    """Return the comparison line by line: recorded, then each case."""
    returns = None if compared.cells_named else UNKNOWN
    failures = None if compared.test.tells_failures else UNKNOWN
    lines = [
        _line(compared, "handovers per minute", lambda t: _number(t.handovers_per_minute),
              "Per minute in which the phone's cell is known."),
        _line(compared, "handovers", lambda t: str(t.handovers)),
        _line(compared, "ping-pongs (back within 1 s)",
              lambda t: _share(t.ping_pongs, t.handovers),
              "Share of handovers; TR 36.839 definition 6.", returns),
        _line(compared, "back within 5 s", lambda t: _share(t.returns, t.handovers),
              "Share of handovers; for logs too coarse for a second.", returns),
        _line(compared, "handover failures", lambda t: str(t.handover_failures),
              "The target's SINR is below Qout on arrival.", UNKNOWN),
        _line(compared, "radio link failures", lambda t: str(t.link_failures),
              "T310 has expired.", failures),
        _line(compared, "… too late / too early / wrong cell",
              lambda t: f"{t.too_late} / {t.too_early} / {t.wrong_cell}",
              "What failures are blamed for, TS 38.300 §15.5.2.", UNKNOWN),
        _line(compared, "time below −110 dBm", lambda t: _percent(t.weak_ratio),
              "Of the serving cell."),
        _line(compared, "mean serving RSRP", lambda t: f"{_number(t.mean_rsrp_dbm, 4)} dBm"),
        _line(compared, "time without data", lambda t: f"{t.interrupted_s:.1f} s",
              "Handovers and lost links.", UNKNOWN),
        _line(compared, "put where the phone was", lambda t: str(t.placed),
              "At the start of each stretch, and where the log lacks the cell the user was in.",
              NOTHING),
        _line(compared, "out of sight", lambda t: f"{t.unseen_s:.0f} s",
              "The log lacks every cell that could serve.", NOTHING),
    ]  # fmt: skip
    if any(tally.stays for tally in compared.replayed):
        lines.append(
            _line(compared, "had left before the network moved the phone",
                  lambda t: f"{t.left} of {t.stays} ({_share(t.left, t.stays)})",
                  "Of the stays that a recorded handover ended.", NOTHING)
        )  # fmt: skip
    return lines


def _line(
    compared: Comparison, name: str, text: Callable[[Tally], str], meaning: str = "",
    first: str | None = None,
) -> Line:  # fmt: skip
    """Return a line; ``first`` stands for what was recorded where the log cannot tell."""
    recorded = text(compared.recorded) if first is None else first
    return Line(name, (recorded, *(text(tally) for tally in compared.replayed)), meaning)


def _number(value: float, digits: int = 3) -> str:
    return format_number(value, digits) if math.isfinite(value) else "–"


def _share(count: int, total: int) -> str:
    return _percent(count / total) if total else "–"


def _percent(ratio: float) -> str:
    return f"{_PERCENT * ratio:.1f} %" if math.isfinite(ratio) else "–"


def sweep_rows(compared: Comparison) -> list[tuple[float, float, Tally]]:
    """Return (A3 offset [dB], time to trigger [s], what it adds up to), in order."""
    return [(offset, trigger, tally) for (offset, trigger), tally in compared.sweep.items()]


def failures_per_hour(tally: Tally) -> float:
    """Return handover and radio link failures per hour of known time."""
    failed = tally.link_failures + tally.handover_failures
    return 3600 * failed / tally.known_s if tally.known_s else math.nan


def read_line(compared: Comparison) -> str:
    """Return in one sentence what was read."""
    share = compared.several_s / compared.logged_s if compared.logged_s else 0.0
    runs = "1 run" if compared.runs == 1 else f"{compared.runs} runs"
    return (
        f"{compared.test.source}: {compared.test.form}; {runs},"
        f" {format_duration(compared.logged_s)}, of which"
        f" {format_duration(compared.recorded.known_s)} with a known LTE cell;"
        f" two cells or more measured in {_percent(share)} of the time"
    )


def caveats(compared: Comparison) -> list[str]:
    """Return what has to be known to read the comparison rightly."""
    stated = f"The stated share of power is {compared.load:g} here."
    return [*compared.test.notes, *CAVEATS, stated, *compared.notes]


def comparison_json(compared: Comparison) -> dict[str, Any]:
    """Return the comparison as plain JSON values; unknown numbers are null."""
    return {
        "source": compared.test.source,
        "form": compared.test.form,
        "runs": compared.runs,
        "logged_s": compared.logged_s,
        "several_cells_s": compared.several_s,
        "interference": compared.load,
        "recorded": _figures(compared.recorded) | {"cells_named": compared.cells_named},
        "events": compared.events,
        "replayed": [
            {"name": case.name, "settings": to_jsonable(case.settings)} | _figures(tally)
            for case, tally in zip(compared.cases, compared.replayed, strict=True)
        ],
        "sweep": [
            {"a3_offset_db": offset, "time_to_trigger_s": trigger} | _figures(tally)
            for offset, trigger, tally in sweep_rows(compared)
        ],
        "caveats": caveats(compared),
    }


def _figures(tally: Tally) -> dict[str, Any]:
    derived = {
        "handovers_per_minute": tally.handovers_per_minute,
        "ping_pong_ratio": tally.per_handover(tally.ping_pongs),
        "return_ratio": tally.per_handover(tally.returns),
        "weak_ratio": tally.weak_ratio,
        "mean_rsrp_dbm": tally.mean_rsrp_dbm,
    }
    values: dict[str, Any] = to_jsonable({**to_jsonable(tally), **derived})
    return values
