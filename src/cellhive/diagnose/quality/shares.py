"""Are shares written from 0 to 1 or from 0 to 100, and in the same way everywhere?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from cellhive.core.measurements import ColumnInfo, Role, Severity
from cellhive.core.types import Bools, Floats
from cellhive.diagnose.quality.column import Column

ROUNDING = 1.005
"""Shares may exceed their limit by this factor through rounding."""


def is_share(info: ColumnInfo) -> bool:
    """Return whether a column's unit or role says that it is a share."""
    return info.unit == "%" or (info.role is Role.RATIO and bool(info.share))


def fractions_by_company(
    frame: pl.DataFrame, columns: Mapping[str, ColumnInfo], sentinels: Sequence[float]
) -> bool:
    """Return whether the shares of a table are fractions, by those that leave no doubt.

    A column of drop rates up to 0.02 could be either; beside success rates of 0.99 under the
    same "%" heading, and no column that goes beyond 1, it is a fraction.
    """
    sure = 0
    for name, info in columns.items():
        if not is_share(info):
            continue
        values = frame[name].drop_nulls()
        known = values.filter(~values.is_in(list(sentinels))).to_numpy()
        if known.size == 0:
            continue
        if float(np.quantile(known, 0.99)) > ROUNDING:
            return False
        sure += looks_whole(info, known)
    return sure > 0


def settle_share(column: Column, *, fractions: bool) -> None:
    """Settle whether a share is written from 0 to 1 or to 100, and say what is odd about it."""
    info, values = column.info, column.values
    known = values[column.known]
    if not is_share(info) or known.size == 0:
        return
    mixed = _mixed(column)
    if mixed is not None:
        _empty_minority(column, *mixed)
        return
    sure = fractions or (float(np.quantile(known, 0.99)) <= 1.0 and looks_whole(info, known))
    share = info.share or ("fraction" if sure else "percent")
    column.info = replace(info, share=share, role=Role.RATIO)
    if info.unit == "%" and share == "fraction":
        doubt = "" if looks_whole(info, known) else ", as in the other columns of this table"
        column.say(
            Severity.INFO, "fraction-under-percent",
            ("values from 0 to 100 under a \"%\" heading",
             f"{float(known.min()):.4g} to {float(known.max()):.4g}: fractions{doubt}",
             "kept as found; shown as per cent (times 100)"), column.known,
        )  # fmt: skip


def _empty_minority(column: Column, small: Bools, large: Bools) -> None:
    """Set the shares of the objects that write them in the rarer way to null."""
    fewer = small if small.sum() <= large.sum() else large
    way, other = ("fractions", "percent") if fewer is small else ("per cent", "fraction")
    at = fewer[column.rows.row] & column.known
    column.info = replace(column.info, share=other, role=Role.RATIO)
    column.say(
        Severity.WARNING, "fraction-and-percent",
        ("one way of writing shares", "values from 0 to 1 in some objects and to 100 in "
         f"others: {column.part_of(fewer)} write {way}",
         f"these {int(at.sum())} values are left empty, as no mean over both is right; "
         "export them in one unit"), at,
    )  # fmt: skip
    column.values[at] = np.nan


def looks_whole(info: ColumnInfo, known: Floats) -> bool:
    """Return whether values below 1 are fractions rather than small percentages.

    A drop rate of 0.3 may be 0.3 %; a success rate of 0.98 is a fraction.
    """
    if info.better == "higher":
        return True
    return float(np.median(known)) > 0.2 or bool(re.search(r"(?i)succ|avail|util", info.name))  # noqa: PLR2004  # a fifth


def _mixed(column: Column) -> tuple[Bools, Bools] | None:
    """Return which objects write fractions and which per cent; None if all write alike."""
    most = column.per_object()[2]
    if not (np.nanmax(most) > ROUNDING and np.nanmin(most) <= ROUNDING):
        return None
    frame = pl.DataFrame({"row": column.rows.row, "v": column.values})
    middle = np.full(len(column.objects), np.nan)
    medians = frame.filter(pl.col("v").is_not_nan()).group_by("row").agg(pl.col("v").median())
    middle[medians["row"].to_numpy()] = medians["v"].to_numpy()
    with np.errstate(invalid="ignore"):
        small = (most <= ROUNDING) & (middle > 0.3)  # noqa: PLR2004  # far above any drop rate
        large = middle > 30.0  # noqa: PLR2004  # far above any fraction
    return (small, large) if small.any() and large.any() else None
