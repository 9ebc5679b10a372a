"""Writes what a benchmark measured to ``benchmarks/results/<name>.json``, and prints it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One measured figure."""

    name: str
    value: float
    unit: str
    goal: str = ""
    """What was promised, for example "< 30"."""
    peer: str = ""
    """What it was compared with, side by side on this machine."""
    peer_value: float | None = None
    ratio: float | None = None
    """Peer over ours, or ours over the peer: above 1 is better for us."""
    spread: float | None = None
    """Half the range of the repeats, in the unit of the value."""


def timed(action: Callable[[], Any], repeats: int = 3) -> tuple[float, float]:
    """Return the median and half the range of the time an action takes [s]."""
    times: list[float] = []
    for _ in range(repeats):
        begin = perf_counter()
        action()
        times.append(perf_counter() - begin)
    return statistics.median(times), (max(times) - min(times)) / 2


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    processor = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        processor = next((x.split(":", 1)[1].strip() for x in lines if "model name" in x), "")
    return {
        "processor": processor or platform.processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": platform.system(),
        "python": platform.python_version(),
    }


def report(
    name: str,
    rows: Sequence[Row],
    *,
    packages: Sequence[str] = (),
    notes: Sequence[str] = (),
    results: Path = RESULTS,
) -> Path:
    """Print the rows and write them, with the machine and the versions, to a file.

    Args:
        name: Of the benchmark; the file is called so.
        rows: The figures.
        packages: Distributions whose versions matter.
        notes: What a reader must know to judge the figures.
        results: Folder of the file.
    """
    for row in rows:
        peer = ""
        if row.peer_value is not None:
            ratio = f", ratio {row.ratio:.2f}" if row.ratio is not None else ""
            peer = f"  ({row.peer}: {row.peer_value:.4g} {row.unit}{ratio})"
        spread = f" ± {row.spread:.2g}" if row.spread is not None else ""
        goal = f"  [goal {row.goal}]" if row.goal else ""
        print(f"{row.name}: {row.value:.4g}{spread} {row.unit}{goal}{peer}")
    content = {
        "name": name,
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "machine": machine(),
        "versions": {package: metadata.version(package) for package in packages},
        "notes": list(notes),
        "rows": [asdict(row) for row in rows],
    }
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{name}.json"
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    draft.replace(path)
    return path
