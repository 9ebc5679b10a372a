"""What is kept of a folder of measurement files grows with its values, and with nothing else."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from cellhive.adapters.pm.pm_collect import PmCollector
from cellhive.adapters.pm.pm_xml import parse_pm
from cellhive.adapters.tabular.mapping import describe
from cellhive.core.measurements import Findings

OBJECTS, COUNTERS = 200, 6
ROW_BYTES = COUNTERS * 8 + 8 + 8 + 1
"""A row's values, and its object, time and mark."""
GROWN = 1.25
"""Arrays that grow have an eighth of room to spare; the rest is a file's own name and order."""


def pm_3gpp(quarter: int) -> str:
    """Return a file of TS 32.435 with the counters of a quarter of an hour."""
    values = "".join(f'<r p="{i + 1}">{quarter * i}</r>' for i in range(COUNTERS))
    types = "".join(f'<measType p="{i + 1}">VS.Counter{i}</measType>' for i in range(COUNTERS))
    rows = "".join(
        f'<measValue measObjLdn="ENodeBFunction=1,EUtranCellFDD=A{cell:06d}">{values}</measValue>'
        for cell in range(OBJECTS)
    )
    end = f"2024-03-{1 + quarter // 96:02d}T{quarter // 4 % 24:02d}:{quarter % 4 * 15:02d}:00Z"
    return (
        '<measCollecFile xmlns="x"><measData><managedElement localDn="ManagedElement=1"/>'
        f'<measInfo measInfoId="g"><granPeriod duration="PT900S" endTime="{end}"/>'
        f"{types}{rows}</measInfo></measData></measCollecFile>"
    )


def omes(quarter: int) -> str:
    """Return the same as OMeS."""
    start = f"2024-03-{1 + quarter // 96:02d}T{quarter // 4 % 24:02d}:{quarter % 4 * 15:02d}:00"
    values = "".join(f"<M8001C{i}>{quarter * i}</M8001C{i}>" for i in range(COUNTERS))
    rows = "".join(
        f"<PMMOResult><MO><DN>PLMN-PLMN/MRBTS-1/LNBTS-1/LNCEL-{cell}</DN></MO>"
        f'<PMTarget measurementType="LTE_Cell_Load">{values}</PMTarget></PMMOResult>'
        for cell in range(OBJECTS)
    )
    return f'<OMeS><PMSetup startTime="{start}.000+00:00" interval="15">{rows}</PMSetup></OMeS>'


@pytest.mark.parametrize("dialect", [pm_3gpp, omes])
def test_what_is_kept_grows_with_the_values(tmp_path: Path, dialect: Callable[[int], str]) -> None:
    """Twenty files, then eighty: no names, layouts, parsers or texts of each file are left."""
    findings = Findings()
    collector = PmCollector(describe, findings)
    path = tmp_path / "a.xml"
    kept = {}
    gc.collect()
    gc.disable()  # what only a search for circles would free counts
    tracemalloc.start()
    try:
        for quarter in range(80):
            path.write_text(dialect(quarter))
            collector.add(parse_pm(path, findings))
            kept[quarter + 1] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        gc.enable()
    per_row = (kept[80] - kept[20]) / (60 * OBJECTS)
    assert per_row < GROWN * ROW_BYTES
    (table,) = collector.tables()
    assert table.frame.height == 80 * OBJECTS
    assert table.frame["VS.Counter2" if dialect is pm_3gpp else "M8001C2"].sum() == (
        OBJECTS * 2 * sum(range(80))
    )
