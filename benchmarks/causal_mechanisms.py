"""Promise: where mechanisms bend, effects' intervals hold what they say, and what-ifs are quick.

Draws random models of which 40 % of the edges are curves, asks for the effect of moving each
variable from its lower to its upper quartile, once with straight mechanisms and once with such
as may bend, and states for both how often 50 % and 90 % intervals hold the true effect, over all
effects that are not zero, and their squared error. The truth is the mean over 40,000 samples of
the true model under both settings. Beside it: the time of a counterfactual of all variables
over 500 drawn models, and that of DoWhy's gcm for one graph.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics as middle_of
import subprocess
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
from _bench import Row, report, timed
from _drivers import DRIVERS, peers_python

from cellhive.causal.effects import Effects, Mechanisms, drawn_mechanisms, total_effects
from cellhive.causal.graph import average_precision, topological_order
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.queries.contributions import contributions
from cellhive.causal.queries.curves import basis_of, discover_curved
from cellhive.causal.queries.mechanisms import bent_mechanisms
from cellhive.causal.queries.prediction import average_effects
from cellhive.causal.queries.whatif import counterfactual
from cellhive.causal.statistics import statistics_of
from cellhive.core.types import Bools, Floats, Ints

NODES, ROWS, DEGREE, BENT = 12, 1000, 3.0, 0.4
FIRST_SEED = 8300
_TRUTH_ROWS = 40_000


@dataclass(frozen=True)
class Model:
    """A random model: each variable is a weighted sum of shapes of its causes, and noise."""

    edges: Bools
    weight: Floats
    shape: Ints
    """0 for a straight edge, else which curve."""
    deviation: Floats


@dataclass
class Answers:
    """What one kind of mechanism said over all models."""

    inside_half: int = 0
    inside: int = 0
    effects: int = 0
    inside_zero: int = 0
    zeros: int = 0
    error: list[float] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


def bent(shape: int, x: Floats) -> Floats:
    """Return a shape: straight, saturating, quadratic, a threshold, a wave, exponential."""
    shapes = (
        x, np.tanh(1.5 * x), 0.5 * (x * x - 1.0) + 0.5 * x, 1.5 * np.maximum(x, 0.0),
        np.sin(1.5 * x), np.exp(np.clip(0.7 * x, -4.0, 2.0)) - 1.0,
    )  # fmt: skip
    return np.asarray(shapes[shape])


def random_model(generator: np.random.Generator) -> Model:
    """Return a random model."""
    order = generator.permutation(NODES)
    edges = np.zeros((NODES, NODES), np.bool_)
    edges[np.ix_(order, order)] = np.triu(
        generator.random((NODES, NODES)) < DEGREE / (NODES - 1), 1
    )
    sign = generator.choice([-1.0, 1.0], edges.shape)
    weight = generator.uniform(0.4, 1.0, edges.shape) * sign
    curved = generator.random(edges.shape) < BENT
    shape = np.where(curved, generator.integers(1, 6, edges.shape), 0).astype(np.int32)
    return Model(edges, weight, shape, np.sqrt(generator.uniform(0.5, 2.0, NODES)))


def samples_of(model: Model, noise: Floats, cause: int = -1, value: float = 0.0) -> Floats:
    """Return samples, one variable set to a value if it is given."""
    data = np.zeros_like(noise)
    for node in topological_order(model.edges):
        data[:, node] = value
        if node == cause:
            continue
        data[:, node] = noise[:, node] * model.deviation[node]
        for parent in np.flatnonzero(model.edges[:, node]):
            shape = int(model.shape[parent, node])
            data[:, node] += model.weight[parent, node] * bent(shape, data[:, parent])
    return data


def true_effects(model: Model, data: Floats, generator: np.random.Generator) -> Floats:
    """Return mean slopes from lower to upper quartile, [cause, effect]."""
    noise = generator.standard_normal((_TRUTH_ROWS, NODES))
    low, high = np.quantile(data, [0.25, 0.75], axis=0)
    truth = np.zeros((NODES, NODES))
    for cause in range(NODES):
        moved = samples_of(model, noise, cause, high[cause])
        moved -= samples_of(model, noise, cause, low[cause])
        truth[cause] = moved.mean(axis=0) / (high[cause] - low[cause])
        truth[cause, cause] = 0.0
    return truth


def add(answers: Answers, effects: Effects, truth: Floats) -> None:
    """Count which intervals hold the truth."""
    off = ~np.eye(NODES, dtype=np.bool_)
    real = np.abs(truth) > 1e-9  # noqa: PLR2004
    low, high = effects.low[:, :, 0], effects.high[:, :, 0]
    held = (low <= truth) & (truth <= high)
    answers.inside_half += int(held[0][real].sum())
    answers.inside += int(held[1][real].sum())
    answers.effects += int(real.sum())
    answers.shares.append(float(held[1][real].mean()))
    answers.inside_zero += int(held[1][off & ~real].sum())
    answers.zeros += int((off & ~real).sum())
    answers.error.append(float(((effects.mean[:, 0] - truth)[off] ** 2).mean()))


def one_model(seed: int, straight: Answers, curved: Answers) -> None:
    """Add the answers of both kinds for one model."""
    generator = np.random.default_rng([seed, NODES])
    model = random_model(generator)
    data = samples_of(model, generator.standard_normal((ROWS, NODES)))
    truth = true_effects(model, data, generator)
    seen = statistics_of(data, [f"x{k}" for k in range(NODES)])
    off = ~np.eye(NODES, dtype=np.bool_)
    begin = process_time()
    plain = discover(seen, np.random.default_rng(1))
    add(straight, total_effects(drawn_mechanisms(plain, np.random.default_rng(2))), truth)
    straight.cpu_s.append(process_time() - begin)
    straight.precision.append(average_precision(plain.edge_probability()[0][off], model.edges[off]))
    begin = process_time()
    basis = basis_of(data, seen)
    found = discover_curved(basis, np.random.default_rng(1))
    mechanisms = bent_mechanisms(found, basis, np.random.default_rng(3))
    add(curved, average_effects(mechanisms, np.random.default_rng(4)), truth)
    curved.cpu_s.append(process_time() - begin)
    curved.precision.append(average_precision(found.edge_probability()[0][off], model.edges[off]))


def rows_of(kind: str, answers: Answers, *, goal: bool) -> list[Row]:
    """Return what is stated of one kind of mechanism."""
    count = len(answers.shares)
    spread = middle_of.stdev(answers.shares) / count**0.5 if count > 1 else None
    return [
        Row(f"{kind}: 90 % intervals cover, of {answers.effects} effects not zero",
            answers.inside / answers.effects, "share", "0.85 to 0.95" if goal else "",
            spread=spread),
        Row(f"{kind}: 50 % intervals cover", answers.inside_half / answers.effects, "share"),
        Row(f"{kind}: 90 % intervals cover, of {answers.zeros} zero effects",
            answers.inside_zero / answers.zeros, "share"),
        Row(f"{kind}: squared error of effects", middle_of.fmean(answers.error), ""),
        Row(f"{kind}: directed average precision", middle_of.fmean(answers.precision), "AUPRC"),
        Row(f"{kind}: posterior and effects", middle_of.fmean(answers.cpu_s), "CPU-s"),
    ]  # fmt: skip


def drawn_for(nodes: int) -> tuple[Mechanisms, Floats]:
    """Return 500 drawn linear models of many variables, and their data."""
    generator = np.random.default_rng([FIRST_SEED, nodes])
    order = generator.permutation(nodes)
    weight = np.zeros((nodes, nodes))
    there = np.triu(generator.random((nodes, nodes)) < 4.0 / (nodes - 1), 1)
    weight[np.ix_(order, order)] = there * generator.uniform(0.3, 1.0, (nodes, nodes))
    noise = generator.standard_normal((1000, nodes))
    data = noise @ np.linalg.inv(np.eye(nodes) - weight)
    seen = statistics_of(data, [f"x{k}" for k in range(nodes)])
    found = discover(seen, generator, settings=Settings(graphs=250, starts=4))
    return drawn_mechanisms(found, generator), data


def speed_rows(peers: list[str]) -> list[Row]:
    """Return the time of a counterfactual and of a split of a difference."""
    rows = []
    for nodes in (20, 100):
        mechanisms, data = drawn_for(nodes)
        took, spread = timed(partial(counterfactual, mechanisms, data[7], {"x3": 1.0}), 15)
        head = f"{nodes} variables, 500 models"
        row = Row(f"{head}: counterfactual of all, with intervals", 1000.0 * took, "ms", "< 5",
                  spread=1000.0 * spread)  # fmt: skip
        if "dowhy" in peers and nodes == 20:  # noqa: PLR2004
            theirs = dowhy_ms(mechanisms, data)
            row = replace(row, peer="DoWhy gcm, one graph, no interval", peer_value=theirs,
                          ratio=theirs / row.value)  # fmt: skip
        took, spread = timed(partial(contributions, mechanisms, data[7], data[8], "x5"), 15)
        name = f"{head}: split of a difference by origin, step and path"
        rows += [row, Row(name, 1000.0 * took, "ms", spread=1000.0 * spread)]
    return rows


def dowhy_ms(mechanisms: Mechanisms, data: Floats) -> float:
    """Return the time that DoWhy's gcm takes for one counterfactual on the best graph [ms]."""
    python = peers_python("requirements-causal.txt")
    folder = Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108
    source = folder / f"cellhive-dowhy-{os.getpid()}.npz"
    np.savez(source, data=data, edges=mechanisms.posterior.best_graph()[0])
    try:
        done = subprocess.run(  # noqa: S603  # our own script
            [str(python), str(DRIVERS / "run_dowhy.py"), str(source)],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        source.unlink()
    return float(json.loads(done.stdout.splitlines()[-1])["query_ms"])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=14)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--peers", nargs="*", default=["dowhy"], choices=["dowhy"])
    options = parser.parse_args()
    straight, curved = Answers(), Answers()
    one_model(1, Answers(), Answers())  # compiles, where nothing has before
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        one_model(seed, straight, curved)
    rows = [
        *rows_of("straight mechanisms", straight, goal=False),
        *rows_of("mechanisms that may bend", curved, goal=True),
        *speed_rows(options.peers),
    ]
    report(
        "causal_mechanisms", rows, packages=("numpy", "numba", "scipy"),
        notes=(
            f"random models of {NODES} variables, expected degree {DEGREE:g}, {BENT:.0%} of the "
            f"edges curves of five shapes, {ROWS} samples, {options.seeds} seeds from "
            f"{options.first_seed}; spreads are standard errors over models",
            "an effect is the mean change per unit when a variable moves from its lower to its "
            "upper quartile; effects of exactly zero are counted apart",
            "one thread; processor time, except for single queries",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
