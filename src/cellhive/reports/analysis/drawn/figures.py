"""The plots of an analysis: incidents with their usual band, and sparklines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from markupsafe import Markup

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel, Usual, remove_cycles
from cellhive.diagnose.incidents import ALL_KPIS, Anomaly, Incident
from cellhive.flows.analyse import Analysis
from cellhive.reports.analysis.clock import Clock
from cellhive.reports.analysis.words import KINDS, clean
from cellhive.reports.charts import Line, Mark, line_chart, sparkline
from cellhive.reports.drawing.svg import Look
from cellhive.reports.numbers import format_number, with_unit
from cellhive.reports.page import safe_svg

CONTEXT = 3.0
"""How much time is shown on each side of an incident, in its own lengths."""
LEAST_PERIODS = 40
"""Periods shown on each side, at least."""
OTHERS = 3
"""Other objects of the incident that are drawn beside the first."""
SPARK_POINTS = 60
BARS = 16
"""Bars of the small histogram of a KPI over objects."""
FEWEST_BARS = 4
"""Objects from which a histogram is drawn."""
LIKE_ROWS = 48
"""Other rows of a panel that are taken along to know what is usual, besides those drawn."""
LARGE = Look(width=960, height=220, points=320, strips=False)
SMALL = Look(width=960, height=160, points=90, strips=False)


@dataclass
class Figures:
    """Draws the figures of one analysis; keeps what is usual for each panel it has met."""

    analysis: Analysis
    clock: Clock

    def __post_init__(self) -> None:
        """Start with nothing computed."""
        self._usual: dict[int, tuple[Usual, dict[int, int]]] = {}
        self._wanted: dict[int, set[int]] = {}
        for incident in self.analysis.search.incidents:
            found = self.analysis.panel(incident.lead.kpi, incident.lead.object)
            if found is not None:
                self._wanted.setdefault(id(found[0]), set()).add(found[1])

    def incident(self, incident: Incident, *, small: bool = False) -> Markup:
        """Return the chart of an incident's clearest KPI: what was, what is usual, and when."""
        lead = incident.lead
        found = self.analysis.panel(lead.kpi, lead.object)
        if found is None:
            return self._silence(incident)
        panel, row = found
        window = _window(panel, lead)
        times = self._times(panel, window)
        usual, low, high = self._band(panel, row, lead, window)
        middle = np.full_like(usual, np.nan) if small else usual
        lines = [Line("usual range", times, middle, tone="baseline", low=low, high=high)]
        for other in incident.members[1:]:
            if small or len(lines) > OTHERS:
                break
            if other.kpi == lead.kpi and other.object in panel.objects:
                values = panel.values[panel.objects.index(other.object), window]
                lines.append(Line(clean(other.object), times, values, tone="muted"))
        lines.append(Line(clean(lead.object), times, panel.values[row, window], tone="run"))
        return self._chart(lines, incident, panel, SMALL if small else LARGE)

    def _chart(self, lines: list[Line], incident: Incident, panel: Panel, look: Look) -> Markup:
        lead = incident.lead
        tone = {"worse": "worse", "better": "better", "mixed": "warn"}.get(incident.effect, "info")
        mark = self._mark(panel, lead, KINDS.get(incident.kind, incident.kind), tone)
        look = replace(look, x_label=self.clock.axis)
        chart = line_chart(lines, title=clean(panel.kpi), unit=lead.unit, marks=[mark], look=look)
        return safe_svg(chart)

    def _silence(self, incident: Incident) -> Markup:
        """Return the chart of an object that fell silent: any KPI of it, with the gap."""
        lead = incident.lead
        for part in self.analysis.parts:
            for panel in part.panels:
                if lead.kpi == ALL_KPIS and lead.object in panel.objects and panel.step_s > 0:
                    row, window = panel.objects.index(lead.object), _window(panel, lead)
                    line = Line(
                        clean(lead.object), self._times(panel, window), panel.values[row, window],
                        tone="run",
                    )  # fmt: skip
                    mark = self._mark(panel, lead, "no data", "worse")
                    look = replace(SMALL, x_label=self.clock.axis)
                    title = clean(panel.kpi)
                    return safe_svg(
                        line_chart([line], title=title, unit=panel.unit, marks=[mark], look=look)
                    )
        return Markup("")

    def _times(
        self, panel: Panel, window: slice
    ) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
        """Return the starts of periods on the reader's clock."""
        first_s = self.clock.wall_s(panel.start_s + window.start * panel.step_s)
        seconds = first_s + np.arange(window.stop - window.start) * panel.step_s
        return np.asarray((seconds * 1e3).round().astype("datetime64[ms]"))

    def _mark(self, panel: Panel, lead: Anomaly, label: str, tone: str) -> Mark:
        """Return the span of an anomaly, half a period early: values stand at period starts."""
        window_s = panel.start_s + _window(panel, lead).start * panel.step_s
        shift_s = self.clock.wall_s(window_s) - window_s - panel.step_s / 2
        return Mark(_moment(lead.start_s + shift_s), label, tone, _moment(lead.end_s + shift_s))

    def _usual_of(self, panel: Panel, row: int) -> tuple[Usual, int]:
        """Return what is usual for a panel, from the rows that are drawn and some others."""
        if id(panel) not in self._usual:
            rows = sorted(
                self._wanted.get(id(panel), set()) | {row}
                | set(np.linspace(0, len(panel.objects) - 1, LIKE_ROWS).astype(int).tolist())
            )  # fmt: skip
            names = tuple(panel.objects[i] for i in rows)
            part = Panel(
                panel.kpi, names, panel.start_s, panel.step_s, panel.values[rows], panel.unit
            )
            self._usual[id(panel)] = (
                remove_cycles(part, self.analysis.search.calendar),
                {r: i for i, r in enumerate(rows)},
            )
        usual, index = self._usual[id(panel)]
        return usual, index[row]

    def _band(
        self, panel: Panel, row: int, lead: Anomaly, window: slice
    ) -> tuple[Floats, Floats, Floats]:
        """Return what is usual around an incident, and two usual spreads below and above."""
        usual, row = self._usual_of(panel, row)
        first, last = _periods(panel, lead)
        around = np.array(usual.residual[row, window])
        if lead.kind != "drift":
            around[max(first - window.start, 0) : max(last - window.start, 0)] = np.nan
        if lead.open_end:
            around[max(first - window.start, 0) :] = np.nan
        known = around[~np.isnan(around)]
        level = float(np.median(known)) if known.size else 0.0
        spread, cycle = usual.spread[row, window], usual.cycle[row, window]
        middle = cycle + level * spread
        inverse = usual.transform.inverse
        band = (middle, middle - 2 * spread, middle + 2 * spread)
        drawn = tuple(inverse(edge, row) for edge in band)
        if panel.unit == "%":
            drawn = tuple(np.clip(edge, 0.0, 100.0) for edge in drawn)
        return drawn[0], drawn[1], drawn[2]


def _periods(panel: Panel, lead: Anomaly) -> tuple[int, int]:
    first = round((lead.start_s - panel.start_s) / panel.step_s)
    return first, round((lead.end_s - panel.start_s) / panel.step_s)


def _window(panel: Panel, lead: Anomaly) -> slice:
    first, last = _periods(panel, lead)
    margin = max(round(CONTEXT * (last - first)), LEAST_PERIODS)
    return slice(max(first - margin, 0), min(last + margin, panel.periods))


def _moment(time_s: float) -> np.datetime64:
    return np.datetime64(round(time_s * 1e3), "ms")


def spark(values: Floats, label: str) -> Markup:
    """Return a sparkline of a series, thinned to block means."""
    if values.size < 2:  # noqa: PLR2004  # one point makes no line
        return Markup("")
    return safe_svg(sparkline(_thinned(values), label=clean(label)))


def spread(medians: Sequence[float], unit: str, name: str) -> Markup:
    """Return a small histogram of the medians of objects; empty for a few or all alike."""
    known = np.array([value for value in medians if np.isfinite(value)])
    if known.size < FEWEST_BARS or known.max() <= known.min():
        return Markup("")
    counts, edges = np.histogram(known, BARS)
    ends = " to ".join(with_unit(format_number(edge), unit) for edge in (edges[0], edges[-1]))
    bars = "".join(
        f'<rect class="bar muted" x="{2 + 6 * i}" width="5" y="{26 - 24 * n / counts.max():.1f}" '
        f'height="{24 * n / counts.max():.1f}"/>'
        for i, n in enumerate(counts.tolist()) if n
    )  # fmt: skip
    label = escape(f"{clean(name)}: medians of {known.size} objects, {ends}")
    return safe_svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart spark" width="{4 + 6 * BARS}" '
        f'height="28" viewBox="0 0 {4 + 6 * BARS} 28" role="img"><title>{label}</title>{bars}</svg>'
    )


def _thinned(values: Floats) -> Floats:
    block = -(-values.size // SPARK_POINTS)
    if block == 1:
        return values
    padded = np.full(-(-values.size // block) * block, np.nan)
    padded[: values.size] = values
    folded = padded.reshape(-1, block)
    count = np.sum(~np.isnan(folded), axis=1)
    total = np.nansum(folded, axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def typical(values: Floats) -> Floats:
    """Return the median over objects in each period, (T,); NaN where there is no value."""
    ordered = np.sort(values, axis=0)
    count = np.sum(~np.isnan(values), axis=0)
    at = np.maximum((count - 1) // 2, 0)
    return np.asarray(ordered[at, np.arange(values.shape[1])])
