"""The plots of an analysis: incidents with their usual band, and sparklines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel, Usual, remove_cycles
from cellhive.diagnose.incidents import ALL_KPIS, Anomaly, Incident
from cellhive.flows.analyse import Analysis
from cellhive.reports.analysis.words import clean
from cellhive.reports.charts import Line, Mark, line_chart, sparkline
from cellhive.reports.drawing.svg import Look
from cellhive.reports.page import safe_svg

CONTEXT = 3.0
"""How much time is shown on each side of an incident, in its own lengths."""
LEAST_PERIODS = 40
"""Periods shown on each side, at least."""
OTHERS = 3
"""Other objects of the incident that are drawn beside the first."""
SPARK_POINTS = 60
LOOK = Look(width=1040, height=230)


@dataclass
class Figures:
    """Draws the figures of one analysis; keeps what is usual for each panel it has met."""

    analysis: Analysis

    def __post_init__(self) -> None:
        """Start with nothing computed."""
        self._usual: dict[int, Usual] = {}

    def incident(self, incident: Incident) -> Markup:
        """Return the chart of an incident's clearest KPI: what was, what is usual, and when."""
        lead = incident.lead
        found = self.analysis.panel(lead.kpi, lead.object)
        if found is None:
            return self._silence(incident)
        panel, row = found
        window = _window(panel, lead)
        times = _times(panel, window)
        usual, low, high = self._band(panel, row, lead, window)
        lines = [Line("usual", times, usual, tone="baseline", low=low, high=high)]
        for other in incident.members[1:]:
            if other.kpi == lead.kpi and other.object in panel.objects and len(lines) <= OTHERS:
                values = panel.values[panel.objects.index(other.object), window]
                lines.append(Line(clean(other.object), times, values, tone="muted"))
        lines.append(Line(clean(lead.object), times, panel.values[row, window], tone="run"))
        return self._chart(lines, incident, panel)

    def _chart(self, lines: list[Line], incident: Incident, panel: Panel) -> Markup:
        lead = incident.lead
        tone = {"worse": "worse", "better": "better", "mixed": "warn"}.get(incident.effect, "info")
        mark = Mark(*_span(panel, lead, incident.kind, tone))
        chart = line_chart(lines, title=clean(lead.kpi), unit=lead.unit, marks=[mark], look=LOOK)
        return safe_svg(chart)

    def _silence(self, incident: Incident) -> Markup:
        """Return the chart of an object that fell silent: any KPI of it, with the gap."""
        lead = incident.lead
        for part in self.analysis.parts:
            for panel in part.panels:
                if lead.kpi == ALL_KPIS and lead.object in panel.objects and panel.step_s > 0:
                    row, window = panel.objects.index(lead.object), _window(panel, lead)
                    line = Line(
                        clean(lead.object), _times(panel, window), panel.values[row, window],
                        tone="run",
                    )  # fmt: skip
                    mark = Mark(*_span(panel, lead, "no data", "worse"))
                    title = clean(panel.kpi)
                    return safe_svg(
                        line_chart([line], title=title, unit=panel.unit, marks=[mark], look=LOOK)
                    )
        return Markup("")

    def _band(
        self, panel: Panel, row: int, lead: Anomaly, window: slice
    ) -> tuple[Floats, Floats, Floats]:
        """Return what is usual around an incident, and two usual spreads below and above."""
        if id(panel) not in self._usual:
            self._usual[id(panel)] = remove_cycles(panel)
        usual = self._usual[id(panel)]
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


def _times(panel: Panel, window: slice) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    seconds = panel.start_s + np.arange(window.start, window.stop) * panel.step_s
    return (seconds * 1e3).astype("datetime64[ms]")


def _span(
    panel: Panel, lead: Anomaly, label: str, tone: str
) -> tuple[np.datetime64, str, str, np.datetime64]:
    """Return the fields of a mark, half a period early: values are drawn at period starts."""
    half = panel.step_s / 2
    return _moment(lead.start_s - half), label, tone, _moment(lead.end_s - half)


def _moment(time_s: float) -> np.datetime64:
    return np.datetime64(round(time_s * 1e3), "ms")


def spark(values: Floats, label: str) -> Markup:
    """Return a sparkline of a series, thinned to block means."""
    if values.size < 2:  # noqa: PLR2004  # one point makes no line
        return Markup("")
    return safe_svg(sparkline(_thinned(values), label=clean(label)))


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
