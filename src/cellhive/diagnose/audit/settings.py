"""Parameters of cells that stand apart from those of all other cells like them."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from cellhive.core.measurements import Severity
from cellhive.core.types import Floats
from cellhive.diagnose.audit.configuration import AuditFinding, Check, Configuration

COMMON = 0.9
"""Share of like cells with one value from which the others are asked about."""
FAR = 6.0
"""Distance from the median in robust standard deviations from which a value is asked about."""

_FEW = 8
_ROBUST = 1.4826
"""A normal standard deviation per median absolute deviation."""
_MOST_PER_SETTING = 50
_MOST_KINDS = 12
_MOST_KINDS_SHARE = 0.05


def setting_findings(conf: Configuration) -> tuple[list[AuditFinding], list[Check]]:
    """Return settings that few cells have, per parameter and carrier."""
    title = "Outlier parameters"
    if not conf.settings:
        return [], [Check("outlier", title, 0, "values", "no parameters were given")]
    groups: dict[int, list[int]] = defaultdict(list)
    for cell, carrier in enumerate(conf.carrier_index.tolist()):
        groups[carrier].append(cell)
    out, looked = [], 0
    for name, values in conf.settings.items():
        for cells in groups.values():
            known = np.array([c for c in cells if np.isfinite(values[c])], np.int64)
            if known.size < _FEW:
                continue
            looked += int(known.size)
            out += _apart(conf, name, known, values[known])
    if not looked:
        why = f"fewer than {_FEW} cells of a carrier state any parameter"
        return [], [Check("outlier", title, 0, "values", why)]
    return out, [Check("outlier", title, looked, "values of parameters")]


def _apart(conf: Configuration, name: str, cells: np.ndarray, values: Floats) -> list[AuditFinding]:
    kinds, count = np.unique(values, return_counts=True)
    top = int(count.argmax())
    share = count[top] / values.size
    median = float(np.median(values))
    spread = _ROBUST * float(np.median(np.abs(values - median)))
    if kinds.size == 1 or kinds.size > max(_MOST_KINDS, _MOST_KINDS_SHARE * values.size):
        return []  # measured rather than set: settings come from templates
    if share >= COMMON:
        which = np.flatnonzero(values != kinds[top])
        usual = f"{share:.0%} of {values.size} cells of its carrier have {kinds[top]:g}"
    elif spread > 0:
        which = np.flatnonzero(np.abs(values - median) > FAR * spread)
        usual = f"half of {values.size} cells of its carrier are within {spread / _ROBUST:g} of " \
                f"{median:g}"  # fmt: skip
    else:
        return []
    return [
        AuditFinding(
            "outlier", Severity.INFO, (conf.cell_ids[int(cells[k])],),
            f"{name} is {values[k]:g}; {usual}",
            "a trial that was never undone, a template missed, or meant so for this place",
            "confirm it, or set it as the others are",
        )
        for k in which.tolist()[:_MOST_PER_SETTING]
    ]  # fmt: skip
