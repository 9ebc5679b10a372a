"""Promise: a new period of 1000 cells and 50 KPIs is in the posterior in less than a second.

``refresh``: observing a period, renewing the posterior and reading all effects, in processor
time of one core, beside searching anew on the same statistics. ``drift``: how often a change is
found where there is none, and how soon and under which name where there is one. ``panels``:
whether intervals of cells' coefficients cover, and the error beside no pooling and complete
pooling.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from time import process_time

import numpy as np
from _bench import Row, report

from causal import random_model
from cellhive.causal.dependent.panels import cell_coefficients
from cellhive.causal.effects import drawn_mechanisms, total_effects
from cellhive.causal.graph import average_precision
from cellhive.causal.live.online import Live, Pace, begun, observed, refreshed, restored, snapshot
from cellhive.causal.posterior import Posterior, Settings, discover
from cellhive.core.types import Floats

LAGS = {20: 2, 50: 2, 100: 1, 200: 0}
"""Lags by number of variables."""
PROTOTYPE_S = {20: 0.13, 50: 0.42, 100: 0.79, 200: 1.4}
"""What a prototype took, measured once on another machine; its lags at 20, 100 and 200 and its
reading of effects are not known to be the same."""
CELLS = 1000
WARM_UP = 8
GAPS = 0.05


class Series:
    """Counters of cells that follow one lagged linear model, a period at a time."""

    def __init__(self, nodes: int, cells: int, seed: int, *, memory: bool = True) -> None:
        """Draw a model: edges within a period and, if asked for, memory and edges across."""
        self.rng = np.random.default_rng(seed)
        self.now = random_model(nodes, self.rng)
        before = np.diag(self.rng.uniform(0.2, 0.6, nodes))
        before[self.rng.integers(0, nodes, nodes), self.rng.integers(0, nodes, nodes)] += 0.2
        mixed = np.linalg.inv(np.eye(nodes) - self.now)
        top = float(np.abs(np.linalg.eigvals(before @ mixed)).max())
        self.before = before * min(1.0, 0.9 / top) * memory
        self.noise = np.ones(nodes)
        self.cells = cells
        self.last = np.zeros((cells, nodes))
        for _ in range(10):
            self.period()

    def period(self, gaps: float = 0.0) -> Floats:
        """Return the values of the next period, some of them missing, (C, V)."""
        nodes = len(self.now)
        shock = 0.2 * self.rng.standard_normal(nodes)
        drawn = self.noise * self.rng.standard_normal((self.cells, nodes)) + shock
        self.last = (self.last @ self.before + drawn) @ np.linalg.inv(np.eye(nodes) - self.now)
        lost = self.rng.random(self.last.shape) < gaps
        return np.where(lost, np.nan, self.last)


def started(series: Series, lags: int, pace: Pace | None = None) -> Live:
    """Return a state after enough periods for a first posterior."""
    nodes = len(series.now)
    live = begun([f"x{k}" for k in range(nodes)], series.cells, lags=lags, seed=1, pace=pace)
    for _ in range(WARM_UP + lags):
        live = observed(live, series.period())
    return refreshed(live)


def all_effects(posterior: Posterior) -> Floats:
    """Return every total effect at every horizon that the lags span."""
    drawn = drawn_mechanisms(posterior, np.random.default_rng(2))
    return total_effects(drawn, horizons=posterior.statistics.lags + 1).mean


def precision_of(posterior: Posterior, truth: Floats) -> float:
    """Return average precision of directed edges within a period."""
    off = ~np.eye(len(truth), dtype=np.bool_)
    return average_precision(posterior.edge_probability()[0][off], (truth != 0)[off])


def refresh_rows(nodes: int, periods: int, gaps: float) -> list[Row]:
    """Return times of refreshes of one size, and the quality of the last one."""
    lags = LAGS[nodes]
    series = Series(nodes, CELLS, nodes, memory=lags > 0)
    live = started(series, lags)
    times, parts, worth = [], np.zeros(3), []
    for _ in range(periods):
        values = series.period(gaps)
        marks = [process_time()]
        live = observed(live, values)
        marks.append(process_time())
        live = refreshed(live)
        marks.append(process_time())
        assert live.posterior is not None  # noqa: S101  # just renewed
        all_effects(live.posterior)
        marks.append(process_time())
        times.append(marks[-1] - marks[0])
        parts += np.diff(marks)
        worth.append(live.posterior.convergence.effective)
    assert live.posterior is not None  # noqa: S101
    begin = process_time()
    cold = discover(live.statistics, np.random.default_rng(3))
    all_effects(cold)
    anew_s = process_time() - begin
    head = f"{nodes} variables x {CELLS} cells, {lags} lags" + (", 5 % missing" if gaps else "")
    middle, late = np.quantile(times, [0.5, 0.95])
    shares = " + ".join(f"{part / periods:.3f}" for part in parts)
    data, goal = snapshot(live), "< 1" if nodes <= 100 else ""  # noqa: PLR2004
    rows = [
        Row(f"{head}: refresh, median ({shares} s for statistics, posterior, effects)",
            float(middle), "CPU-s", goal, "searching anew", anew_s, anew_s / float(middle)),
        Row(f"{head}: refresh, 95 %", float(late), "CPU-s", goal),
        Row(f"{head}: graphs drawn", float(len(live.posterior.chosen)), ""),
        Row(f"{head}: independent graphs they are worth, median", float(np.median(worth)), ""),
        Row(f"{head}: directed average precision", precision_of(live.posterior, series.now),
            "AUPRC", "", "searching anew", precision_of(cold, series.now)),
        Row(f"{head}: snapshot", len(data) / 1e6, "MB"),
    ]  # fmt: skip
    if not gaps:
        rows.append(
            Row(f"{head}: refresh, prototype elsewhere", PROTOTYPE_S[nodes], "s")
        )  # fmt: skip
    if snapshot(restored(data)) != data:
        message = "a snapshot did not come back as it was"
        raise SystemExit(message)
    return rows


# ------------------------------------------------------------------ drift

_FALSE_ALARM_PERIODS = 500.0
_QUICK = Pace(
    false_alarm_periods=_FALSE_ALARM_PERIODS, settings=Settings(graphs=60, betas=(1.0, 0.5))
)


def drift_rows(seeds: int) -> list[Row]:
    """Return false alarms, and delays and names of changes, on 12 variables and 100 cells."""
    nodes, cells, every = 12, 100, 8
    watched, alarms = 0, 0
    found: dict[str, list[int]] = {"slope": [], "level": [], "spread": []}
    named: dict[str, int] = dict.fromkeys(found, 0)
    for seed in range(seeds):
        series = Series(nodes, cells, 500 + seed)
        live = started(series, 1, _QUICK)
        for k in range(400):
            live = observed(live, series.period())
            alarms += bool(live.drifts)
            if k % every == 0 or live.cold:
                live = refreshed(live)
        watched += 400
        for kind in found:
            _change(kind, Series(nodes, cells, 700 + seed), found, named)
    rows = [
        Row("periods between false alarms", watched / max(alarms, 1), "periods",
            f"about {_FALSE_ALARM_PERIODS:g}", spread=watched / max(alarms, 1) ** 1.5),
    ]  # fmt: skip
    for kind, delays in found.items():
        rows += [
            Row(f"{kind} of one mechanism changed: found within 40 periods",
                len(delays) / seeds, "share"),
            Row(f"{kind} of one mechanism changed: periods until found, median",
                float(np.median(delays)) if delays else float("nan"), "periods"),
            Row(f"{kind} of one mechanism changed: named first, of those found",
                named[kind] / max(len(delays), 1), "share"),
        ]  # fmt: skip
    return rows


def _change(kind: str, series: Series, found: dict[str, list[int]], named: dict[str, int]) -> None:
    """Change one mechanism after 60 periods and note when and under which name it is found."""
    live = started(series, 1, _QUICK)
    for k in range(60):
        live = observed(live, series.period())
        if k % 10 == 0 or live.cold:
            live = refreshed(live)
    cause, effect = np.argwhere(series.now)[len(np.argwhere(series.now)) // 2]
    if kind == "slope":
        series.now[cause, effect] *= 0.4
    elif kind == "spread":
        series.noise[effect] = 1.3
    for k in range(40):
        values = series.period()
        if kind == "level":
            values[:, effect] += 1.0
        live = observed(live, values)
        if live.drifts:
            found[kind].append(k + 1)
            named[kind] += live.drifts[0].variable == f"x{effect}"
            return


# ------------------------------------------------------------------ panels


def cells_of(cells: int, periods: int, seed: int) -> tuple[Floats, Floats]:
    """Return a panel (T, C, 4) of three causes and an effect, and the cells' slopes (C, 3)."""
    rng = np.random.default_rng(seed)
    slopes = np.array([0.8, -0.5, 0.3]) + 0.3 * rng.standard_normal((cells, 3))
    causes = rng.standard_normal((periods, cells, 3)) * rng.uniform(0.3, 1.5, (cells, 1))
    noise = np.exp(0.4 * rng.standard_normal(cells)) * rng.standard_normal((periods, cells))
    effect = np.einsum("tcp,cp->tc", causes, slopes) + noise
    site = 5.0 * rng.standard_normal((cells, 1))
    return np.concatenate([causes, effect[:, :, None]], axis=2) + site, slopes


def panel_rows(seeds: int) -> list[Row]:
    """Return coverage and errors of cells' coefficients."""
    rows = []
    names = ["a", "b", "c", "y"]
    for cells, periods in ((20, 20), (100, 20), (1000, 48)):
        inside, errors, took = [], [], []
        for seed in range(seeds):
            values, slopes = cells_of(cells, periods, 900 + seed)
            begin = process_time()
            fit = cell_coefficients(values, names, 3, [0, 1, 2])
            took.append(process_time() - begin)
            low, high = fit.interval()
            inside.append(float(((low <= slopes) & (slopes <= high)).mean()))
            centred = values - values.mean(axis=0)
            inner = np.einsum("tci,tcj->cij", centred[:, :, :3], centred[:, :, :3])
            cross = np.einsum("tci,tc->ci", centred[:, :, :3], centred[:, :, 3])
            own = np.linalg.solve(inner, cross[:, :, None])[:, :, 0]
            one = np.linalg.solve(inner.sum(axis=0), cross.sum(axis=0))
            errors.append([float(((g - slopes) ** 2).mean()) for g in (fit.mean, own, one)])
        shrunk, own_error, one_error = np.mean(errors, axis=0)
        head = f"{cells} cells x {periods} periods"
        spread = float(np.std(inside, ddof=1) / len(inside) ** 0.5) if seeds > 1 else None
        rows += [
            Row(f"{head}: 90 % intervals of cells' coefficients cover", float(np.mean(inside)),
                "share", "0.85 to 0.95", spread=spread),
            Row(f"{head}: squared error", float(shrunk), "", "", "each cell alone",
                float(own_error), float(own_error / shrunk)),
            Row(f"{head}: squared error", float(shrunk), "", "", "one regression of all",
                float(one_error), float(one_error / shrunk)),
            Row(f"{head}: one variable with three parents", float(np.median(took)), "CPU-s"),
        ]  # fmt: skip
    return rows


_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _keep_to_one_core() -> None:
    """Start again with one thread for linear algebra, which NumPy asks for when it is loaded.

    Further threads do next to nothing here but wait for work, and processor time counts that.
    """
    if any(os.environ.get(name) != number for name, number in _ONE_THREAD.items()):
        environment = {**os.environ, **_ONE_THREAD}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606  # ourselves


def main() -> None:
    """Run the benchmark."""
    _keep_to_one_core()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["refresh", "drift", "panels"])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(LAGS), choices=list(LAGS))
    parser.add_argument("--periods", type=int, default=20, help="refreshes of each size")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    started(Series(4, 20, 0), 1)  # compiles, where nothing has before
    parts: dict[str, Callable[[], list[Row]]] = {
        "refresh": lambda: [
            row
            for nodes in options.sizes
            for gaps in ((0.0, GAPS) if nodes == 50 else (0.0,))  # noqa: PLR2004
            for row in refresh_rows(nodes, options.periods, gaps)
        ],
        "drift": lambda: drift_rows(options.seeds),
        "panels": lambda: panel_rows(options.seeds),
    }
    report(
        f"causal_online_{options.part}", parts[options.part](),
        packages=("numpy", "numba", "scipy"),
        notes=(
            "linear models of expected degree 4 within a period, coefficients +-(0.3 to 1), "
            "memory of 0.2 to 0.6, shocks of 0.2 that strike all cells at once",
            "refresh: a single run of each size, processor time of one thread; the first "
            "posterior is not timed; linear algebra on one thread",
            "drift: 12 variables, 100 cells, 1 lag, a refresh every 8 periods or after a "
            "drift; an edge falls to 0.4 of its size, noise grows to 1.3, a level by 1",
            "panels: slopes differ between cells by 0.3, noise and spread of causes differ too",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
