"""Promise: a posterior over causal graphs of 100 variables in seconds, as sure as it says.

Draws random linear-Gaussian models, asks for the posterior and the effects, and states for
each size directed average precision, squared error of total effects and processor time,
beside peers on the same samples; and over all models whether 90 % intervals cover the true
effects that are not zero, and whether edges are as frequent as probable. The best graph
alone is what most peers return: it has rows of its own, by the graphs of its class as theirs.
The graph of all edges stands beside, so that nobody takes a poor figure for a good one.

``--keep`` leaves the rows of other sizes in the file as they are: one size takes minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics as middle_of
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

import numpy as np
from _bench import RESULTS, Row, report
from _drivers import DRIVERS, peers_python

from cellhive.causal.effects import drawn_mechanisms, total_effects
from cellhive.causal.graph import average_precision
from cellhive.causal.posterior import best_graph, discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.types import Bools, Floats

sys.path.append(str(DRIVERS))
from graph_class import drawn_from_class, effects_of  # shared with the peers

SIZES = {20: 1000, 50: 1000, 100: 5000}
"""Samples by number of variables."""
DEGREE = 4.0
FIRST_SEED = 7000
PEERS = {
    "boss": "causal-learn BOSS", "grasp": "causal-learn GRaSP", "ges": "causal-learn GES",
    "pc": "causal-learn PC", "direct_lingam": "DirectLiNGAM",
    "hill_climbing": "pgmpy hill climbing",
}  # fmt: skip
BUDGETS = {"boss": 60.0}
"""CPU seconds at a size after which a peer gets no further model, where not the usual ones."""
LARGEST = {"ges": 20, "direct_lingam": 50, "hill_climbing": 20}
"""Sizes above which a peer is not asked: a single model would take it minutes."""
_GOALS = {20: (0.95, 0.0045), 50: (0.99, 0.0010), 100: (0.985, 0.0006)}
_BINS = 10


@dataclass
class Answers:
    """What one method said over the models of one size."""

    precision: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


@dataclass
class Calibration:
    """What our intervals and probabilities are held against, over all models."""

    covered: list[tuple[int, int]] = field(default_factory=list)
    """Effects that are not zero inside their interval, and all of them, by model."""
    covered_zero: list[tuple[int, int]] = field(default_factory=list)
    probability: list[Floats] = field(default_factory=list)
    there: list[Bools] = field(default_factory=list)
    best: Answers = field(default_factory=Answers)
    """By the best graph alone, and the graphs of its class."""
    converged: list[bool] = field(default_factory=list)


def random_model(nodes: int, generator: np.random.Generator) -> Floats:
    """Return coefficients [cause, effect] of +-(0.3 to 1), each pair joined with one chance."""
    order = generator.permutation(nodes)
    there = np.triu(generator.random((nodes, nodes)) < DEGREE / (nodes - 1), 1)
    weight = generator.uniform(0.3, 1.0, there.shape) * generator.choice([-1.0, 1.0], there.shape)
    coefficients = np.zeros((nodes, nodes))
    coefficients[np.ix_(order, order)] = there * weight
    return coefficients


def samples_of(model: Floats, count: int, generator: np.random.Generator) -> Floats:
    """Return samples with Gaussian noise of variance 0.5 to 2, (count, nodes)."""
    nodes = len(model)
    noise = generator.standard_normal((count, nodes)) * np.sqrt(generator.uniform(0.5, 2.0, nodes))
    mixed: Floats = noise @ np.linalg.inv(np.eye(nodes) - model)
    return mixed


def true_effects(model: Floats) -> Floats:
    """Return total effects; exactly zero where no path leads."""
    nodes = len(model)
    paths = np.linalg.inv(np.eye(nodes) - (model != 0) / (2.0 * nodes)) > 1e-30  # noqa: PLR2004
    effects = np.linalg.inv(np.eye(nodes) - model) - np.eye(nodes)
    return np.where(paths & (np.abs(effects) > 1e-12), effects, 0.0)  # noqa: PLR2004


def ask_ours(data: Floats, model: Floats, answers: Answers, calibration: Calibration) -> None:
    """Add our answers on one data set."""
    nodes = len(model)
    off = ~np.eye(nodes, dtype=np.bool_)
    names = [f"x{k}" for k in range(nodes)]
    begin = process_time()
    posterior = discover(statistics_of(data, names), np.random.default_rng(1))
    effects = total_effects(drawn_mechanisms(posterior, np.random.default_rng(2)), levels=[0.9])
    answers.cpu_s.append(process_time() - begin)
    begin = process_time()
    best = best_graph(statistics_of(data, names), np.random.default_rng(3))[0]
    calibration.best.cpu_s.append(process_time() - begin)
    truth, probability = true_effects(model), posterior.edge_probability()[0]
    graphs = drawn_from_class(best, np.random.default_rng(4))
    shares, along = np.mean(graphs, axis=0), np.mean([effects_of(g, data) for g in graphs], axis=0)
    calibration.best.precision.append(average_precision(shares[off], (model != 0)[off]))
    calibration.best.error.append(float(((along - truth)[off] ** 2).mean()))
    answers.precision.append(average_precision(probability[off], (model != 0)[off]))
    answers.error.append(float(((effects.mean[:, 0] - truth)[off] ** 2).mean()))
    inside = (effects.low[0, :, 0] <= truth) & (truth <= effects.high[0, :, 0])
    real = truth != 0.0
    calibration.covered.append((int(inside[real].sum()), int(real.sum())))
    calibration.covered_zero.append((int(inside[off & ~real].sum()), int((off & ~real).sum())))
    calibration.probability.append(probability[off])
    calibration.there.append((model != 0)[off])
    calibration.converged.append(posterior.convergence.reached)


def ask_peer(
    python: Path, peer: str, sets: list[tuple[Floats, Floats]], budget_s: float, limit_s: float
) -> Answers:
    """Return a peer's answers on data sets and their models: on as many as the time allows."""
    with tempfile.TemporaryDirectory() as folder:
        for which, (data, _) in enumerate(sets):
            np.save(Path(folder) / f"{which}.npy", data)
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        words = [str(python), str(DRIVERS / "run_causal_peer.py"), peer, folder, str(budget_s)]
        try:
            done = subprocess.run(  # noqa: S603  # our own script
                words, env={**os.environ, **one}, capture_output=True, text=True, check=False,
                timeout=limit_s,
            )  # fmt: skip
            if done.returncode != 0:
                message = f"{peer} ended with {done.returncode}:\n{done.stderr[-2000:]}"
                raise SystemExit(message)
        except subprocess.TimeoutExpired:
            print(f"{peer} was stopped after {limit_s:g} s")
        answers = Answers()
        for which, (_, model) in enumerate(sets):
            found = Path(folder) / f"{which}.npz"
            if not found.exists():
                break
            off, answer = ~np.eye(len(model), dtype=np.bool_), np.load(found)
            error = ((answer["effects"] - true_effects(model))[off] ** 2).mean()
            precision = average_precision(answer["scores"][off], (model != 0)[off])
            answers.precision.append(precision)
            answers.error.append(float(error))
            answers.cpu_s.append(float(answer["cpu_s"]))
        return answers


def middle(values: list[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    spread = middle_of.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return middle_of.fmean(values), spread


def calibration_error(probability: Floats, there: Bools) -> float:
    """Return the expected calibration error over ten bins of probability."""
    which = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    parts = [
        abs(probability[which == k].mean() - there[which == k].mean()) * (which == k).mean()
        for k in range(_BINS)
        if (which == k).any()
    ]
    return float(sum(parts))


def rows_of(
    size: int, ours: Answers, peers: dict[str, Answers], calibration: Calibration
) -> list[Row]:
    """Return what is stated for one size."""
    head = f"{size} x {SIZES[size]}"
    goals = _GOALS[size]
    real, zero = np.array(calibration.covered), np.array(calibration.covered_zero)
    share = real[:, 0].sum() / real[:, 1].sum()
    spread = float(np.sqrt(((real[:, 0] - share * real[:, 1]) ** 2).sum()) / real[:, 1].sum())
    probability = np.concatenate(calibration.probability)
    there = np.concatenate(calibration.there)
    rows = [
        Row(f"{head}: 90 % intervals cover, of {real[:, 1].sum()} effects not zero", float(share),
            "share", "0.87 to 0.95", spread=spread),
        Row(f"{head}: 90 % intervals cover, of {zero[:, 1].sum()} zero effects",
            float(zero[:, 0].sum() / zero[:, 1].sum()), "share"),
        Row(f"{head}: calibration error of edges", calibration_error(probability, there),
            "probability", "< 0.03"),
        Row(f"{head}: chains converged", middle_of.fmean(calibration.converged), "share"),
        Row(f"{head}: average precision of the graph of all edges", float(there.mean()), "AUPRC"),
    ]  # fmt: skip
    whole, alone = ("< 10", "< 2") if size == max(SIZES) else ("", "")
    wanted = (f">= {goals[0]:g}", f"<= {goals[1]:g}")
    rows += compared(f"{head}: ", ours, peers, (*wanted, whole))
    return rows + compared(f"{head}, best graph alone: ", calibration.best, peers, ("", "", alone))


def compared(
    head: str, ours: Answers, peers: dict[str, Answers], goals: tuple[str, str, str]
) -> list[Row]:
    """Return accuracy and time, beside those of peers."""
    precision, error, cpu = middle(ours.precision), middle(ours.error), middle(ours.cpu_s)
    rows = []
    for name, theirs in peers.items():
        told = len(theirs.cpu_s)
        label = f"{name}, {told} of {len(ours.cpu_s)} seeds" if name else ""
        rows += [
            Row(f"{head}directed average precision", precision[0], "AUPRC", goals[0],
                label, middle(theirs.precision)[0] if told else None, spread=precision[1]),
            Row(f"{head}squared error of effects", error[0], "", goals[1],
                label, *beside(theirs.error, ours.error), error[1]),
            Row(f"{head}time", cpu[0], "CPU-s", goals[2],
                label, *beside(theirs.cpu_s, ours.cpu_s), cpu[1]),
        ]  # fmt: skip
        if told and told < len(ours.cpu_s):
            rows.append(
                Row(f"{head}directed average precision on those seeds alone",
                    middle(ours.precision[:told])[0], "AUPRC", "", label,
                    middle(theirs.precision)[0])
            )  # fmt: skip
    return rows


def kept_rows(sizes: list[int]) -> list[Row]:
    """Return the rows of other sizes than these that an earlier run left in the file."""
    path = RESULTS / "causal.json"
    if not path.exists():
        return []
    earlier = [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    return [row for row in earlier if size_of(row) not in sizes]


def size_of(row: Row) -> int:
    """Return the number of variables that a row is about."""
    return int(row.name.split(" x ")[0])


def beside(theirs: list[float], ours: list[float]) -> tuple[float | None, float | None]:
    """Return a peer's mean, and over ours on the models that it was asked about."""
    if not theirs:
        return None, None
    mean = middle(theirs)[0]
    return mean, mean / middle(ours[: len(theirs)])[0]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--peer-limit", type=float, default=90.0, help="seconds for one peer")
    parser.add_argument(
        "--peer-budget", type=float, default=5.0,
        help="CPU seconds of a peer at one size, after which it gets no further model",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="leave rows of other sizes in the file")
    options = parser.parse_args()
    python = peers_python("requirements-causal.txt") if options.peers else Path()
    warm = np.random.default_rng(0).standard_normal((200, 4)), np.zeros((4, 4))
    ask_ours(*warm, Answers(), Calibration())  # compiles, where nothing has before
    rows: list[Row] = []
    for size in options.sizes:
        ours, calibration, sets = Answers(), Calibration(), []
        for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
            generator = np.random.default_rng([seed, size])
            model = random_model(size, generator)
            data = samples_of(model, SIZES[size], generator)
            sets.append((data, model))
            ask_ours(data, model, ours, calibration)
        theirs = {
            peer: ask_peer(
                python, peer, sets, BUDGETS.get(peer, options.peer_budget), options.peer_limit
            )
            for peer in options.peers
            if size <= LARGEST.get(peer, size)
        }
        named = {PEERS[peer]: told for peer, told in theirs.items() if told.cpu_s}
        rows += rows_of(size, ours, named or {"": Answers()}, calibration)
    if options.keep:
        rows = sorted(rows + kept_rows(options.sizes), key=size_of)
    report(
        "causal", rows, packages=("numpy", "numba", "scipy"),
        notes=(
            f"random linear-Gaussian models of expected degree {DEGREE:g}, coefficients "
            f"+-(0.3 to 1), noise variance 0.5 to 2, {options.seeds} seeds from {FIRST_SEED}; "
            "spreads are standard errors over models",
            "one thread, processor time; each method on the same samples, with its defaults; of "
            "peers the search alone, of ours with effects",
            "a peer's class of graphs counts ½ for each direction of an undirected edge (pgmpy and "
            "our best graph: shares among 50 graphs of the class); its effects are the mean of "
            "least squares along 50 graphs of the class, PC's along one",
            f"a peer that used {options.peer_budget:g} CPU-s at a size (BOSS {BUDGETS['boss']:g}), "
            f"or {options.peer_limit:g} s by the clock, gets no further model of that "
            "size; DirectLiNGAM is asked up to 50 variables, GES and hill climbing up to 20: "
            "one model more would take minutes",
            "gCastle is left out: its package imports torch whatever is asked of it",
            "with --keep, sizes not of this command are from an earlier run of it",
            "other work shared the machine",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
