"""qdrant-client in the process: its local mode, which compares all with NumPy."""

from __future__ import annotations

import json
import sys
from time import process_time

from qdrant_client import QdrantClient, models
from vectors import recall, timed_queries, truth, vectors


def main() -> None:
    """Build, search, and tell as JSON."""
    count, dimension, wanted = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    stored, queries = vectors("clustered", count, dimension, wanted)
    client = QdrantClient(":memory:")
    size = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    client.create_collection("c", size)
    begin = process_time()
    client.upload_collection("c", stored, ids=range(count))
    built = process_time() - begin
    took = timed_queries(
        lambda query: [
            int(point.id) for point in client.query_points("c", query.tolist(), limit=10).points
        ],
        queries[:50], 1,
    )  # fmt: skip
    found = took.pop("found")
    right = truth(stored, queries[:50])
    told = {"build_cpu_s": built, "recall": recall(found, right), "search": took}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
