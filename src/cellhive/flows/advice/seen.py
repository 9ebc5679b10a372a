"""Measurements by quantity for those who advise, and the present settings of cells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from cellhive.core.measurements import ColumnInfo
from cellhive.core.schema import QUANTITIES, Kind
from cellhive.core.types import Floats
from cellhive.diagnose.advice.capacity import UPLINK_PRB, users_of
from cellhive.diagnose.advice.coverage import DOWNLINK, REACH, UPLINK
from cellhive.diagnose.advice.mobility import ends
from cellhive.diagnose.advice.recommendation import Seen
from cellhive.diagnose.audit.configuration import Configuration
from cellhive.diagnose.cycles import Panel
from cellhive.flows.analyse import Part, shown

Present = dict[tuple[str, str | None, str], float]
"""Values of parameters by cell, target cell (None for a cell's own) and name in the registry."""

_EXTRA = (
    (REACH, r"\b(avg|average|mean)?_?\s*(timing[ _]?advance|ta|distance)(?![a-z])"),
    (UPLINK, r"(?=.*\b(ul|uplink)\b)(?=.*\bbler\b)"),
    (DOWNLINK, r"(?=.*\b(dl|downlink)\b)(?=.*\bbler\b)"),
    (UPLINK_PRB, r"(?=.*\b(ul|uplink)\b)(?=.*\bprbs?\b)(?=.*\b(util\w*|usage|load|rate)\b)"),
)
"""Quantities that the registry has not, by words in headings."""
_THROUGHPUT = r"(?=.*\b(dl|downlink)\b)(?=.*\b(user|ue|ip)\b)(?=.*\b(throughput|thp|speed)\b)"
"""Headings of throughput per user in vendors' words: IP throughput is per user and burst."""
_SETTINGS = (
    ("electrical_tilt_deg", r"e(lectrical)?[ _-]?tilt|^tilt$|digitaltilt|retangle|ret[ _]?tilt"),
    ("tx_power_dbm", r"(tx|transmit|max)[ _-]?(tx)?[ _-]?power([ _-]?dbm)?$"),
    ("time_to_trigger_s", r"time[ _-]?to[ _-]?trigger|^ttt"),
    ("hysteresis_db", r"^(a3)?[ _-]?hyst"),
    ("a3_offset_db", r"a3[ _-]?off"),
    ("cio_db", r"^cio|cell[ _-]?individual[ _-]?offset|qoffsetcell"),
)
_MILLISECONDS = 10.0
"""A time to trigger above this is in milliseconds: the longest there is takes 5.12 s."""


def seen_of(parts: Sequence[Part]) -> tuple[Seen, ...]:
    """Return the measurements of an analysis by quantity, in registry units.

    Args:
        parts: Of the analysis; those without regular times are left out.
    """
    out = []
    for part in parts:
        panels = [panel for panel in part.panels if panel.step_s > 0]
        groups: dict[tuple[tuple[str, ...], float, float, int], dict[str, tuple[float, str]]] = {}
        values: dict[int, dict[str, Floats]] = {}
        for panel in panels:
            info = part.columns.get(panel.kpi)
            if info is None:
                continue
            quantity, factor = _quantity(panel.kpi, info)
            if not quantity:
                continue
            key = (panel.objects, panel.start_s, panel.step_s, panel.periods)
            known = groups.setdefault(key, {})
            place = values.setdefault(id(known), {})
            if quantity in known and known[quantity][0] >= info.confidence:
                continue
            known[quantity] = (info.confidence, panel.kpi)
            place[quantity] = np.asarray(panel.values, np.float64) * factor
        for (objects, start_s, step_s, _), known in groups.items():
            names = {quantity: name for quantity, (_, name) in known.items()}
            out.append(
                Seen(objects, start_s, step_s, values[id(known)], names, part.name)
            )  # fmt: skip
    return tuple(out)


def _quantity(name: str, info: ColumnInfo) -> tuple[str, float]:
    """Return what a column measures for those who advise, and the factor to its unit; "" if none.

    The factor takes a shown value (shares in per cent) to the unit of the registry.
    """
    factor, _ = shown(info)
    share = 0.01 if info.share in ("fraction", "percent") and factor in (1.0, 100.0) else 1.0
    if info.quantity is not None:
        unit = QUANTITIES[info.quantity].unit
        if unit == "ratio" and info.share:
            return info.quantity, share
        return info.quantity, info.scale / factor
    heading = re.sub(r"[_()/%]+", " ", (info.header or name).casefold())
    for quantity, pattern in _EXTRA:
        if re.search(pattern, heading):
            return quantity, share if quantity != REACH else 1.0
    if re.search(_THROUGHPUT, heading) and info.unit in ("Mbit/s", "kbit/s"):
        return "ue_throughput_mbps", 1.0 if info.unit == "Mbit/s" else 0.001
    return "", 1.0


def parameter_like(name: str) -> str:
    """Return the parameter that a setting's name speaks of; "" if none."""
    quantity = QUANTITIES.get(name)
    if quantity is not None:
        return name if quantity.kind is Kind.PARAMETER else ""
    plain = name.strip().casefold()
    return next((known for known, pattern in _SETTINGS if re.search(pattern, plain)), "")


def present_of(parts: Sequence[Part], conf: Configuration | None) -> Present:
    """Return the present settings of cells and relations, as far as the files say.

    The newest value of a setting in the measurements goes before that of a configuration.

    Args:
        parts: Of the analysis; their settings are columns that changed over time.
        conf: Configuration from files, if there is one.
    """
    out: Present = _configured(conf) if conf is not None else {}
    for part in parts:
        for panel in part.settings:
            info = part.columns.get(panel.kpi)
            parameter = parameter_like((info.quantity if info else None) or panel.kpi)
            if parameter:
                out.update(_newest(panel, parameter))
    return out


def _configured(conf: Configuration) -> Present:
    out: Present = {}
    for name, values in conf.settings.items():
        parameter = parameter_like(name)
        for cell, value in zip(conf.cell_ids, values.tolist(), strict=True):
            if parameter and math.isfinite(value):
                out[cell, None, parameter] = _in_unit(parameter, value)
    return out


def _newest(panel: Panel, parameter: str) -> Present:
    out: Present = {}
    for name, series in zip(panel.objects, panel.values, strict=True):
        known = series[np.isfinite(series)]
        pair = ends(name) if parameter == "cio_db" else None
        cell, target = pair if pair is not None else (name, None)
        if known.size and (target is not None) == (parameter == "cio_db"):
            out[cell, target, parameter] = _in_unit(parameter, float(known[-1]))
    return out


def _in_unit(parameter: str, value: float) -> float:
    if parameter == "time_to_trigger_s" and value > _MILLISECONDS:
        return value / 1000.0
    return value


def users_by_object(seen: Sequence[Seen]) -> Mapping[str, float]:
    """Return the mean users of each object that counts them."""
    out: dict[str, float] = {}
    for one in seen:
        for name in one.objects:
            users = users_of(one, name)
            if math.isfinite(users):
                out.setdefault(name, users)
    return out
