"""LanceDB in the process: an IVF_HNSW_SQ index, its best 40 scored exactly, query by query."""

from __future__ import annotations

import json
import sys
import tempfile
from time import process_time

import lancedb
import pyarrow as pa
from vectors import Floats32, recall, timed_queries, truth, vectors


def main() -> None:
    """Build, search, and tell as JSON."""
    count, dimension, wanted = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    stored, queries = vectors("clustered", count, dimension, wanted)
    with tempfile.TemporaryDirectory() as folder:
        flat = pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), dimension)
        table = lancedb.connect(folder).create_table(
            "t", pa.table({"id": pa.array(range(count)), "vector": flat})
        )
        begin = process_time()
        table.create_index(metric="cosine", index_type="IVF_HNSW_SQ")
        built = process_time() - begin

        def asked(query: Floats32) -> list[int]:
            near = table.search(query).distance_type("cosine").select(["id", "_distance"])
            return [row["id"] for row in near.refine_factor(4).limit(10).to_list()]

        took = timed_queries(asked, queries[:100], 1)
        found = took.pop("found")
    told = {
        "build_cpu_s": built,
        "recall": recall(found, truth(stored, queries[:100])),
        "search": took,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
