"""Promise: one cell decides in < 1 ms and 1000 cells in < 5 ms, p99, on one core.

The fused loop of ``rl.act`` beside NumPy over BLAS, torch eager and onnxruntime: the same
weights, observations and masks, one thread each, in processes of their own that take turns.
All must choose the same. Then a swap in flight: another process promotes versions in the
registry while decisions go on; measured is the time until the first decision with them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns, sleep
from typing import Any

import numpy as np
from _bench import Row, report
from _drivers import DRIVERS, middle, peers_python, run

from cellhive.adapters.models.embedded import EmbeddedModels
from cellhive.app.learning.models import Models, following, publish
from cellhive.core.errors import CellHiveError
from cellhive.core.models import GateResult, ModelManifest
from cellhive.rl.act import Acting
from cellhive.rl.policy import PolicyShape, role_of

CELLS = {1: 20_000, 57: 5_000, 1000: 2_000}
"""Calls by number of cells."""
ALLOWED = 0.7
"""Share of the options other than "keep" that a mask lets through."""
GOALS_US = {1: 1000.0, 1000: 5000.0}
PEERS = {
    "numpy": "NumPy over BLAS", "torch": "torch eager", "onnxruntime": "onnxruntime",
}  # fmt: skip


def drawn(shape: PolicyShape, seed: int) -> dict[str, Any]:
    """Return tensors of an actor."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 0.2, size).astype(np.float32)
        for name, size in shape.actor_tensors().items()
    }


def written(folder: Path, cells: int, shape: PolicyShape) -> Path:
    """Write what all modes are given: a ring of cells, as many neighbours as slots."""
    rng = np.random.default_rng(cells)
    away = np.array([1, -1, 2, -2])[: shape.neighbours]
    near = ((np.arange(cells)[:, None] + away) % cells if cells > len(away)
            else np.full((cells, shape.neighbours), -1))  # fmt: skip
    mask = (rng.random((1, cells, shape.columns, 3)) < ALLOWED).astype(np.int8)
    mask[..., 1] = 1
    path = folder / f"case-{cells}-{shape.hidden}.npz"
    seen = rng.uniform(0, 1, (1, cells, shape.features)).astype(np.float32)
    weights = {f"w:{name}": array for name, array in drawn(shape, 1).items()}
    np.savez(path, seen=seen, near=near.astype(np.int32), mask=mask, hidden=shape.hidden,
             message=shape.message, **weights)  # fmt: skip
    return path


def latencies(path: Path, calls: int, modes: list[str], repeats: int) -> dict[str, list[Any]]:
    """Return what each mode told, repeat by repeat, the modes in turns."""
    told: dict[str, list[Any]] = {mode: [] for mode in modes}
    for _ in range(repeats):
        for mode in modes:
            ours = mode != "onnxruntime"
            python = sys.executable if ours else peers_python("requirements-act.txt")
            told[mode].append(run(python, "run_act.py", mode, path, calls, ours=ours).told)
    for mode in modes:
        if told[mode][0]["chosen"] != told["cellhive"][0]["chosen"]:
            message = f"{mode} does not choose what cellhive chooses"
            raise SystemExit(message)
    return told


def rows_of(label: str, cells: int, told: dict[str, list[Any]]) -> list[Row]:
    """Return the percentiles of ours, each beside every peer."""
    rows = []
    for key, name in (("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")):
        ours, spread = middle([one[key] for one in told["cellhive"]])
        goal = f"< {GOALS_US[cells]:g}" if key == "p99" and cells in GOALS_US else ""
        peers = [mode for mode in told if mode != "cellhive"]
        for mode in peers or [""]:
            value = middle([one[key] for one in told[mode]])[0] if mode else None
            rows.append(
                Row(f"{label}: {name}", ours, "µs", goal, PEERS.get(mode, ""), value,
                    value / ours if value else None, spread)
            )  # fmt: skip
    return rows


@dataclass
class Deciding:
    """Decisions one after the other, until stopped, and how they went."""

    acting: Acting
    seen: Any
    mask: Any
    first: list[tuple[str, int]] = field(default_factory=list)
    """Label of new weights, and when the first decision with them was there [ns]."""
    took_ns: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Decide about a thousand times per second at most."""
        published = self.acting.published
        label = published.current.label
        while not self.stop.is_set():
            begin, weights = monotonic_ns(), published.current
            try:
                self.acting.choose(self.seen, self.mask, weights=weights)
            except CellHiveError as error:
                self.failed.append(str(error))
            end = monotonic_ns()
            self.took_ns.append(end - begin)
            if weights.label != label:
                label = weights.label
                self.first.append((label, end))
            sleep(0.001)


def swaps(folder: Path, cells: int, count: int) -> list[Row]:
    """Return how soon promotions by another process decide here, and what decisions suffer."""
    shape = PolicyShape()
    store = EmbeddedModels(folder, now_s=lambda: 0.0)
    made = ModelManifest("city", (role_of("joint", shape),), gates=(GateResult("x", True, ""),))
    for seed in (1, 2):
        tensors = {f"joint/{name}": array for name, array in drawn(shape, seed).items()}
        store.add(made, tensors, alias="champion" if seed == 1 else "")
    models = Models(store, store)
    loaded = models.load("city")
    published = publish(loaded)
    case = np.load(written(folder, cells, shape))
    acting = Acting.of(published, "joint", case["near"])
    deciding = Deciding(acting, case["seen"], case["mask"])
    thread = threading.Thread(target=deciding.go_on)
    with following(models, loaded, published):
        thread.start()
        words = [sys.executable, str(DRIVERS / "run_promotions.py"), str(folder), str(count)]
        done = subprocess.run(words, check=True, capture_output=True, env=dict(os.environ))  # noqa: S603
        sleep(0.5)
        deciding.stop.set()
        thread.join()
    store.close()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    if [f"city:{version}" for version, *_ in told] != [label for label, _ in deciding.first]:
        message = "a promotion was not taken over"
        raise SystemExit(message)
    pairs = zip(told, deciding.first, strict=True)
    return swap_rows(cells, [(there - before) / 1e6 for (_, before, _), (_, there) in pairs],
                     deciding)  # fmt: skip


def swap_rows(cells: int, waits_ms: list[float], deciding: Deciding) -> list[Row]:
    """Return what ``swaps`` found as rows."""
    count = len(waits_ms)
    p50, p99, p999 = np.percentile(np.array(deciding.took_ns) / 1000, [50, 99, 99.9])
    name = f"promotion by another process to first decision with it, {cells} cells"
    return [
        Row(f"{name}: p50", float(np.median(waits_ms)), "ms"),
        Row(f"{name}: longest of {count}", max(waits_ms), "ms", "< 100 (must: < 1000)"),
        Row(f"decisions while {count} versions were swapped in", len(deciding.took_ns), ""),
        Row("of these without an answer", len(deciding.failed), "", "0"),
        Row(f"{cells} cells while swapping: p50", p50, "µs"),
        Row(f"{cells} cells while swapping: p99", p99, "µs", "< 5000"),
        Row(f"{cells} cells while swapping: p99.9", p999, "µs"),
    ]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--promotions", type=int, default=60)
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    modes = ["cellhive", *([] if options.no_peers else PEERS)]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cells, calls in CELLS.items():
            path = written(folder, cells, PolicyShape())
            told = latencies(path, calls, modes, options.repeats)
            rows += rows_of(f"{cells} cell{'s' * (cells > 1)}, 2 x 64", cells, told)
        path = written(folder, 1000, PolicyShape(hidden=256, message=64))
        told = latencies(path, 500, modes, options.repeats)
        rows += rows_of("1000 cells, 2 x 256", 0, told)
        rows += swaps(folder / "models", 1000, options.promotions)
    report(
        "rl_act", rows, packages=("numpy", "numba", "safetensors"),
        notes=(
            "whole calls from arrays to arrays: encoder of neighbours, 4 slots, 11 columns, masks; "
            "each process on one core with one thread; median of the repeats, taking turns",
            "p99 and p99.9 of an undisturbed machine: where a core is shared they are the time "
            "slices of the system",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
