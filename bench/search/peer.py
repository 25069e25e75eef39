"""Peers on the vectors of bench/search/run.mjs, one query at a time on as many threads as they like: faiss by brute force
and by an inverted file (IVF, flat), and hnswlib's graph (HNSW, Malkov & Yashunin 2018) where it is installed."""

import json
import sys
import time

import faiss
import numpy as np

try:
    import hnswlib
except ImportError:
    hnswlib = None

folder, dim, lists = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
vectors = np.fromfile(f"{folder}/vectors.f32", np.float32).reshape(-1, dim)
queries = np.fromfile(f"{folder}/queries.f32", np.float32).reshape(-1, dim)
with open(f"{folder}/truth.json") as file:
    truth = json.load(file)


def ask(index):
    times, shared = [], 0
    for turn in range(2):  # the first turn warms up
        times, shared = [], 0
        for query, right in zip(queries, truth):
            began = time.perf_counter()
            _, ids = index.search(query[None], 10)
            times.append(1000 * (time.perf_counter() - began))
            shared += len(set(ids[0].tolist()) & set(right)) / 10
    times.sort()
    return {
        "p50": times[len(times) // 2],
        "p95": times[int(0.95 * len(times))],
        "recall": shared / len(truth),
    }


result = {}
flat = faiss.IndexFlatIP(dim)
flat.add(vectors)
result["faiss, brute force"] = {**ask(flat), "build": 0}
del flat
began = time.perf_counter()
ivf = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
ivf.cp.max_points_per_centroid = 64
ivf.train(vectors[np.random.default_rng(1).choice(len(vectors), min(len(vectors), 64 * lists), replace=False)])
ivf.add(vectors)
built = time.perf_counter() - began
for probes in (8, 24):
    ivf.nprobe = probes
    result[f"faiss, IVF flat, {probes} of {lists} lists"] = {**ask(ivf), "build": built}
del ivf


class Graph:
    """hnswlib, asked as faiss is. M and ef_construction are those of its own example (README of nmslib/hnswlib)."""

    def __init__(self):
        self.index = hnswlib.Index(space="ip", dim=dim)
        self.index.init_index(max_elements=len(vectors), M=16, ef_construction=200, random_seed=1)
        self.index.add_items(vectors)

    def search(self, query, k):
        ids, distances = self.index.knn_query(query, k)
        return distances, ids


if hnswlib is None:
    print("bench: hnswlib is left out: this python lacks it; pip install hnswlib", file=sys.stderr)
else:
    began = time.perf_counter()
    graph = Graph()
    built = time.perf_counter() - began
    for ef in (32, 128):
        graph.index.set_ef(ef)
        result[f"hnswlib, HNSW, ef {ef}"] = {**ask(graph), "build": built}
print(json.dumps(result))
