"""hnswlib as AgentDB's npm package uses it: M 16, efConstruction 200, ef 100, one at a time."""

from __future__ import annotations

import json
import sys
from time import process_time

import hnswlib
from vectors import recall, timed_queries, truth, vectors


def main() -> None:
    """Build, search, and tell as JSON."""
    count, dimension, wanted = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    stored, queries = vectors("clustered", count, dimension, wanted)
    index = hnswlib.Index("cosine", dimension)
    index.init_index(count, M=16, ef_construction=200, random_seed=100)
    index.set_num_threads(1)
    begin = process_time()
    for label, vector in enumerate(stored):
        index.add_items(vector, label)
    built = process_time() - begin
    index.set_ef(100)
    took = timed_queries(lambda query: index.knn_query(query, 10)[0][0].tolist(), queries)
    found = took.pop("found")
    told = {"build_cpu_s": built, "recall": recall(found, truth(stored, queries)), "search": took}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
