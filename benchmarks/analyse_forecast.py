"""Do forecasts of when a cell is full keep what their intervals promise?

    CELLHIVE_DATA=FOLDER python benchmarks/analyse_forecast.py    two minutes on one core

Synthetic series have a known growth, week, wandering level and outages, so the day on which the
limit is first exceeded is known: it must lie in the 50 % interval half of the time and in the
90 % interval nine times of ten. Tails held out of real series (daily KPIs of LTE sites in the
folder, left out where it is not there) must do the same with the days themselves. Errors are
compared with the seasonal naive forecast (the value of a week before) and with the exponential
smoothing of statsmodels (additive damped trend, weekly season), where it is installed: mean
absolute error over that of the seasonal naive within the history (MASE, Hyndman and Koehler 2006).
What the model takes for granted was chosen on tails among the first days of these series
(``CHOSEN_ON``), and is judged on the days after.

"Will it exceed its limit?" is held against what came: the last 30 % of each real series are
hidden, limits are set a little above its level, and the probability told for 30, 60 and 90 days
is compared with how often the level did exceed it.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _bench import Row, report

from cellhive.core.types import Floats
from cellhive.diagnose.advice.capacity import State, forecasts
from cellhive.diagnose.advice.forecast import WEEK, draw, fit
from cellhive.diagnose.advice.recommendation import Limits, Seen

DATA = Path(__file__).parents[2] / "shared" / "data" / "libyana_lte_kpi"
DAYS, SERIES, DRAWS = 180, 400, 600
DAY_S = 86400.0
MISSING, OUTAGES, FEWEST = 0.02, 0.005, 20
CHOSEN_ON = 238
"""Days of the real series that the prior of slopes and the tails were chosen on."""
HIDDEN = 0.3
"""Share of a real series that is hidden when its limit is foretold."""
ABOVE = (1.05, 1.1, 1.2, 1.3)
"""Limits, over the level at the end of what is seen."""
WITHIN_DAYS = (30, 60, 90)


def synthetic(wander: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return daily loads and the level of their busiest weekday, (N, DAYS + horizon) each."""
    day = np.arange(2 * DAYS)
    week = rng.normal(0, 0.03, (SERIES, WEEK))
    slope = rng.uniform(0.0003, 0.003, (SERIES, 1))
    shocks = rng.normal(0, 0.02 * np.sqrt(wander), (SERIES, day.size))
    level = rng.uniform(0.35, 0.6, (SERIES, 1)) + slope * day + np.cumsum(shocks, axis=1)
    noise = np.zeros((SERIES, day.size))
    for t in range(1, day.size):  # what one day has, the next has a third of
        noise[:, t] = 0.33 * noise[:, t - 1] + rng.normal(0, 0.02, SERIES)
    values = level + week[:, day % WEEK] + noise
    values[rng.random(values.shape) < MISSING] = np.nan
    values[rng.random(values.shape) < OUTAGES] = 0.0
    return values, level + week.max(axis=1, keepdims=True)


def dates(wander: float, rng: np.random.Generator) -> dict[str, float]:
    """Return how often the true day lies in the intervals of the forecast."""
    values, busiest = synthetic(wander, rng)
    seen = Seen(
        tuple(f"c{k}" for k in range(SERIES)), 0.0, DAY_S,
        {"prb_utilisation_ratio": values[:, :DAYS]},
    )  # fmt: skip
    limits = Limits(horizon_days=DAYS)
    begin = time.process_time()
    found = forecasts(seen, limits, rng)
    spent = time.process_time() - begin
    crossed = busiest[:, DAYS:] > limits.prb_utilisation_ratio
    truth = np.where(crossed.any(axis=1), crossed.argmax(axis=1), np.inf)
    inside: dict[int, list[bool]] = {50: [], 90: []}
    errors, dated = [], 0
    for row, one in enumerate(found):
        if one.state not in (State.WILL, State.MAY):
            continue
        dated += 1
        days = (np.array(one.dates_s) - DAYS * DAY_S) / DAY_S
        inside[50].append(bool(days[1] - 0.5 <= truth[row] <= days[3] + 0.5))
        inside[90].append(bool(days[0] - 0.5 <= truth[row] <= days[4] + 0.5))
        if np.isfinite(truth[row]) and np.isfinite(days[2]):
            errors.append(abs(days[2] - truth[row]))
    return {
        "dated": dated / SERIES, "in_50": float(np.mean(inside[50])),
        "in_90": float(np.mean(inside[90])), "error_days": float(np.median(errors)),
        "cpu_s": spent,
    }  # fmt: skip


def flat(rng: np.random.Generator) -> float:
    """Return for what share of steady series without growth a date is named."""
    values = 0.6 + rng.normal(0, 0.03, (SERIES, WEEK))[:, np.arange(DAYS) % WEEK]
    values = values + rng.normal(0, 0.02, values.shape)
    names = tuple(f"c{k}" for k in range(SERIES))
    seen = Seen(names, 0.0, DAY_S, {"prb_utilisation_ratio": values})
    found = forecasts(seen, Limits(), rng)
    return float(np.mean([one.state in (State.WILL, State.MAY) for one in found]))


def real() -> Iterator[tuple[str, Floats]]:
    """Yield daily KPIs of real sites that have a long history: name and (N, D)."""
    from cellhive.app.analysis import analyse_paths  # noqa: PLC0415

    folder = Path(os.environ.get("CELLHIVE_DATA", DATA))
    if not folder.is_dir():
        print(f"no {folder}: the real series are left out", file=sys.stderr)
        return
    wanted = ("ps_traffic_volume_gb", "ul_prb_util_%", "mean_no_rrc_users",
              "max_active_no_users_uplane")  # fmt: skip
    _, analysis = analyse_paths([folder])
    for part in analysis.parts:
        for panel in part.panels:
            if panel.kpi in wanted:
                yield panel.kpi, panel.values


def held_out(
    values: Floats, last: int, rng: np.random.Generator, *, peers: bool
) -> dict[str, list[float]]:
    """Return coverage and errors of forecasts of held-out tails, from five origins up to a day."""
    out: dict[str, list[float]] = {name: [] for name in ("50", "90", "ours", "naive", "ets")}
    for end in range(last - 5 * 30, last - 29, 30):
        past, ahead = values[:, max(end - DAYS, 0) : end], values[:, end : end + 30]
        enough = np.isfinite(past).sum(axis=1) > 0.7 * past.shape[1]
        past, ahead = past[enough], ahead[enough]
        if not len(past):
            continue
        logs = bool((past[np.isfinite(past)] > 0).all())
        fitted = fit(np.log(past) if logs else past)
        for row in range(len(past)):
            drawn = draw(fitted, row, 30, DRAWS, rng).values(past.shape[1] % WEEK, rng)
            drawn = np.exp(drawn) if logs else drawn
            _compared(past[row], ahead[row], drawn, out, peers=peers)
    return out


def _compared(
    past: Floats, ahead: Floats, drawn: Floats, out: dict[str, list[float]], *, peers: bool
) -> None:
    known = np.isfinite(ahead)
    scale = float(np.nanmean(np.abs(past[WEEK:] - past[:-WEEK])))
    if known.sum() < FEWEST or not scale > 0:
        return
    for share in (50, 90):
        low, high = np.quantile(drawn, [0.5 - share / 200, 0.5 + share / 200], axis=0)
        out[str(share)].append(float(((ahead >= low) & (ahead <= high))[known].mean()))
    naive = np.array([_last(past, t) for t in range(ahead.size)])
    out["ours"].append(float(np.abs(np.median(drawn, axis=0) - ahead)[known].mean()) / scale)
    out["naive"].append(float(np.nanmean(np.abs(naive - ahead)[known])) / scale)
    smooth = _ets(past, ahead.size) if peers else None
    if smooth is not None:
        out["ets"].append(float(np.abs(smooth - ahead)[known].mean()) / scale)


@dataclass(frozen=True)
class Foretold:
    """What was said of a limit, and what came."""

    within_days: int
    probability: float
    came: bool


LIMITED = {"ul_prb_util_%": "prb_utilisation_ratio", "mean_no_rrc_users": "RRC.ConnMean",
           "max_active_no_users_uplane": "RRC.ConnMax"}  # fmt: skip
"""Real KPIs that have a limit, and what they are forecast as."""


def crossings(kpi: str, values: Floats, rng: np.random.Generator) -> tuple[list[Foretold], float]:
    """Return what is foretold of limits in the hidden part, and for what share nothing is said."""
    quantity, origin = LIMITED[kpi], round((1 - HIDDEN) * values.shape[1])
    level = np.stack([_levels(row) for row in values])
    now = level[:, origin - 1]
    known = (now > 0) & np.isfinite(level[:, origin : origin + WITHIN_DAYS[-1]]).any(axis=1)
    share, level = values[known] / now[known, None], level[known] / now[known, None]
    names = tuple(f"c{k}" for k in range(len(share)))
    seen = Seen(names, 0.0, DAY_S, {quantity: share[:, :origin]})
    told: list[Foretold] = []
    asked = 0
    for times in ABOVE:
        for days in WITHIN_DAYS:
            limits = Limits(prb_utilisation_ratio=times, connected_users=times, horizon_days=days)
            came = np.any(level[:, origin : origin + days] > times, axis=1)
            for row, one in enumerate(forecasts(seen, limits, rng)):
                asked += 1
                if np.isfinite(one.probability):
                    told.append(Foretold(days, one.probability, bool(came[row])))
    return told, 1.0 - len(told) / max(asked, 1)


def _levels(row: Floats) -> Floats:
    """Return the median of the busiest weekday in the four weeks around each day."""
    half = 2 * WEEK
    padded = np.pad(row, half, constant_values=np.nan)
    weeks = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)[: row.size]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows without a value
        level: Floats = np.nanmedian(weeks.reshape(row.size, -1, WEEK), axis=1).max(axis=1)
    return level


def calibration(told: list[Foretold]) -> list[Row]:
    """Return how often what was foretold came, by what was said of it."""
    rows = []
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        some = [one for one in told if low <= one.probability < high]
        if some:
            said = float(np.mean([one.probability for one in some]))
            rows.append(Row(f"limits of real sites, said {low:.0%} to {min(high, 1.0):.0%} "
                            f"(mean {said:.0%}), {len(some)}: exceeded",
                            float(np.mean([one.came for one in some])), "share"))  # fmt: skip
    for days in WITHIN_DAYS:
        some = [one for one in told if one.within_days == days]
        came = np.array([one.came for one in some], np.float64)
        probability = np.array([one.probability for one in some])
        base = float(came.mean() * (1 - came.mean()))
        brier = float(((probability - came) ** 2).mean())
        rows.append(Row(f"limits of real sites within {days} days, Brier score", brier, "",
                        "", "the share that came, known in advance", base,
                        base / brier))  # fmt: skip
        said_words = f"said on average {probability.mean():.1%}, exceeded"
        rows.append(
            Row(
                f"limits of real sites within {days} days: {said_words}",
                float(came.mean()),
                "share",
            )
        )
    return rows


def _last(past: Floats, ahead: int) -> float:
    """Return the newest known value of the weekday that lies ahead."""
    same = past[past.size - WEEK + ahead % WEEK :: -WEEK]
    known = same[np.isfinite(same)]
    return float(known[0]) if known.size else float("nan")


def _ets(past: Floats, ahead: int) -> Floats | None:
    try:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing  # noqa: PLC0415
    except ImportError:
        return None
    known = np.isfinite(past)
    filled = np.interp(np.arange(past.size), np.flatnonzero(known), past[known])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ExponentialSmoothing(
            filled, trend="add", damped_trend=True, seasonal="add", seasonal_periods=WEEK
        )
        return np.asarray(model.fit().forecast(ahead), np.float64)


def tails(name: str, out: dict[str, list[float]], *, judged: bool = True) -> list[Row]:
    """Return the rows of held-out tails."""
    ours = float(np.mean(out["ours"]))
    peers = {"seasonal naive": out["naive"], "statsmodels exponential smoothing": out["ets"]}
    return [
        Row(f"{name}: 30 days in the 50 % interval", float(np.mean(out["50"])), "share"),
        Row(f"{name}: 30 days in the 90 % interval", float(np.mean(out["90"])), "share",
            "0.85 to 0.95" if judged else ""),
        *(Row(f"{name}: MASE of 30 days", ours, "MASE", "", peer, float(np.mean(theirs)),
              float(np.mean(theirs) / ours)) for peer, theirs in peers.items() if theirs),
    ]  # fmt: skip


def main() -> None:
    """Measure and write the results."""
    rng = np.random.default_rng(20261126)
    rows = []
    for wander in (0.0, 0.003, 0.03):
        name = f"known growth, level wanders {wander:g} of the noise variance a day"
        told = dates(wander, rng)
        rows += [
            Row(f"{name}: true day in the 50 % interval", told["in_50"], "share", "0.5"),
            Row(f"{name}: true day in the 90 % interval", told["in_90"], "share", "0.9"),
            Row(f"{name}: median error of the day", told["error_days"], "days"),
            Row(f"{name}: series with a date", told["dated"], "share"),
        ]
    rows.append(Row(f"forecasts of {SERIES} cells, {DAYS} days", told["cpu_s"], "CPU s"))
    rows.append(Row("steady series without growth that get a date", flat(rng), "share", "< 0.02"))
    foretold: list[Foretold] = []
    unsaid: list[float] = []
    for kpi, values in real():
        rows += tails(f"{kpi}, last 150 days", held_out(values, values.shape[1], rng, peers=True))
        rows += tails(f"{kpi}, among the first {CHOSEN_ON} days, chosen on",
                      held_out(values, CHOSEN_ON, rng, peers=False), judged=False)  # fmt: skip
        if kpi in LIMITED:
            some, nothing = crossings(kpi, values, rng)
            foretold += some
            unsaid.append(nothing)
    if foretold:
        rows += calibration(foretold)
        rows.append(Row("limits of real sites of which nothing is said: the level just shifted",
                        float(np.mean(unsaid)), "share"))  # fmt: skip
    report(
        "analyse_forecast", rows, packages=("numpy", "scipy", "statsmodels"),
        notes=(
            "Coverage of dates counts a limit that is not reached within the horizon as beyond.",
            "Errors of real series are means over sites and five origins a month apart.",
            f"Limits of real sites: {', '.join(f'{x:g}' for x in ABOVE)} times the level when the "
            f"last {HIDDEN:.0%} of the days are hidden; the level is the median of the busiest "
            "weekday in the four weeks around a day. Sites of one network rise and fall together.",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
