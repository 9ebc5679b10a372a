"""Looks for incidents in panels as an analysis does, and tells what that cost.

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import process_time

import numpy as np

from cellhive.diagnose.cycles import Panel
from cellhive.diagnose.search import find_incidents


def main() -> None:
    """Look for incidents in a file of panels, (panels, objects, periods)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("panels", type=Path)
    chosen = parser.parse_args()
    values = np.load(chosen.panels)
    objects = tuple(f"cell{index:04d}" for index in range(values.shape[1]))
    panels = [
        Panel(f"kpi{index}", objects, 1_759_276_800.0, 3600.0, np.ascontiguousarray(one))
        for index, one in enumerate(values)
    ]
    find_incidents(panels[:2])  # what is loaded at first use is no part of it
    begin = process_time()
    found = find_incidents(panels)
    print(json.dumps({"cpu_s": process_time() - begin, "series": found.series,
                      "incidents": len(found.incidents)}))  # fmt: skip


if __name__ == "__main__":
    main()
