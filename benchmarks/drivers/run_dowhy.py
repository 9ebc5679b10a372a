"""Times one counterfactual of DoWhy's gcm, with linear mechanisms, on a given graph."""

from __future__ import annotations

import json
import statistics
import sys
import warnings
from time import perf_counter

import networkx
import numpy as np
import pandas as pd
from dowhy import gcm

warnings.simplefilter("ignore")
gcm.config.disable_progress_bars()


def main() -> None:
    """Fit, ask, and print the median time of a query [ms]."""
    given = np.load(sys.argv[1])
    data, edges = given["data"], given["edges"]
    names = [f"x{k}" for k in range(data.shape[1])]
    graph = networkx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((names[a], names[b]) for a, b in np.argwhere(edges))
    model = gcm.InvertibleStructuralCausalModel(graph)
    for node, name in enumerate(names):
        if edges[:, node].any():
            made = gcm.AdditiveNoiseModel(gcm.ml.create_linear_regressor())
            model.set_causal_mechanism(name, made)
        else:
            model.set_causal_mechanism(name, gcm.EmpiricalDistribution())
    frame = pd.DataFrame(data, columns=names)
    gcm.fit(model, frame)
    row = frame.iloc[[7]]
    times = []
    for _ in range(7):
        begin = perf_counter()
        gcm.counterfactual_samples(model, {"x3": lambda _: 1.0}, observed_data=row)
        times.append(perf_counter() - begin)
    print(json.dumps({"query_ms": 1000.0 * statistics.median(times)}))


if __name__ == "__main__":
    main()
