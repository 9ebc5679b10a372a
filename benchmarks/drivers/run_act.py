"""Times greedy decisions of one policy, call by call: run_act.py MODE FILE CALLS.

MODE is "cellhive", "numpy" (matrix products of BLAS), "torch" (eager) or "onnxruntime". FILE
holds the tensors, observations, neighbours and mask; all modes must choose the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np

SLOT = 8
"""Features of a slot."""


def cellhive(case: Any) -> Callable[[], Any]:
    """Return a decision of ``rl.act``."""
    from cellhive.rl.act import Acting  # noqa: PLC0415
    from cellhive.rl.policy import PolicyShape  # noqa: PLC0415

    hidden, message = int(case["hidden"]), int(case["message"])
    acting = Acting(PolicyShape(hidden=hidden, message=message), case["near"], tensors(case))
    seen, mask = case["seen"], case["mask"]
    return lambda: acting.choose(seen, mask)


def numpy(case: Any) -> Callable[[], Any]:
    """Return a decision in NumPy, all cells in one product per layer."""
    w, seen, near, mask = tensors(case), case["seen"][0], case["near"], case["mask"][0] != 0
    turned = {name: np.ascontiguousarray(array.T) for name, array in w.items()}
    own, exists = w["own.weight"].shape[1], (near >= 0)[..., None]
    safe, cells, slots = near.clip(0), len(near), near.shape[1]

    def decide() -> Any:
        hidden = np.tanh(seen[:, :own] @ turned["own.weight"] + w["own.bias"])
        known = (hidden @ turned["next.weight"])[safe]
        parts = seen[:, own:].reshape(-1, SLOT) @ turned["slot.weight"] + w["slot.bias"]
        message = np.tanh(parts.reshape(cells, slots, -1) + known) * exists
        score = np.where(exists, message @ turned["attend.weight"], np.float32(-1e9))
        share = np.exp(score - score.max(1, keepdims=True))
        heard = (share / share.sum(1, keepdims=True) * message).sum(1)
        z = np.concatenate([hidden, heard], 1) @ turned["trunk.weight"] + w["trunk.bias"]
        z = np.tanh(z)
        wide = np.repeat(z[:, None], slots, 1)
        towards = np.concatenate([wide, message], 2) @ turned["towards.weight"]
        cell = (z @ turned["cell.weight"] + w["cell.bias"]).reshape(cells, -1, 3)
        logits = np.concatenate([towards + w["towards.bias"], cell], 1)
        return np.where(mask, logits, np.float32(-1e9)).argmax(-1)[None]

    return decide


def torch(case: Any) -> Callable[[], Any]:
    """Return a decision of the network that was trained, without gradients."""
    import torch as t  # noqa: PLC0415

    from cellhive.rl.learning.networks import Actor  # noqa: PLC0415
    from cellhive.rl.policy import PolicyShape  # noqa: PLC0415

    t.set_num_threads(1)
    actor = Actor(PolicyShape(hidden=int(case["hidden"]), message=int(case["message"])))
    actor.load(tensors(case))
    seen, near, mask = (t.from_numpy(case[name]) for name in ("seen", "near", "mask"))
    near = near.long()

    def decide() -> Any:
        with t.inference_mode():
            return actor(seen, near, mask).argmax(-1).numpy()

    return decide


def onnxruntime(case: Any) -> Callable[[], Any]:
    """Return a decision of a session over the same graph, one thread, all optimisations."""
    import onnx  # noqa: PLC0415
    import onnxruntime as ort  # noqa: PLC0415
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    w, near, cells = tensors(case), case["near"], len(case["near"])
    slots, own = near.shape[1], w["own.weight"].shape[1]
    features = case["seen"].shape[-1]
    exists = (near >= 0)[..., None]
    constants = {name: np.ascontiguousarray(array.T) for name, array in w.items()} | {
        "near": near.clip(0).astype(np.int64), "zero": np.array([0]), "own": np.array([own]),
        "features": np.array([features]), "last": np.array([1]), "by_slot": np.array([-1, SLOT]),
        "message_shape": np.array([cells, slots, -1]), "one": np.array([1]),
        "exists": exists.astype(np.float32), "absent": np.where(exists, 0, -1e9).astype(np.float32),
        "wide": np.array([1, slots, 1]), "cell_shape": np.array([cells, -1, 3]),
    }  # fmt: skip
    steps = [
        ("Slice", "seen zero own last", "x", {}), ("Slice", "seen own features last", "s", {}),
        ("Gemm", "x own.weight own.bias", "h0", {}), ("Tanh", "h0", "h", {}),
        ("MatMul", "h next.weight", "n", {}), ("Gather", "n near", "known", {"axis": 0}),
        ("Reshape", "s by_slot", "s1", {}), ("Gemm", "s1 slot.weight slot.bias", "s2", {}),
        ("Reshape", "s2 message_shape", "s3", {}), ("Add", "s3 known", "u0", {}),
        ("Tanh", "u0", "u1", {}), ("Mul", "u1 exists", "u", {}),
        ("MatMul", "u attend.weight", "a0", {}), ("Add", "a0 absent", "a1", {}),
        ("Softmax", "a1", "a", {"axis": 1}), ("Mul", "a u", "au", {}),
        ("ReduceSum", "au one", "heard", {"keepdims": 0}),
        ("Concat", "h heard", "hh", {"axis": 1}), ("Gemm", "hh trunk.weight trunk.bias", "z0", {}),
        ("Tanh", "z0", "z", {}), ("Unsqueeze", "z one", "z1", {}), ("Tile", "z1 wide", "z2", {}),
        ("Concat", "z2 u", "zu", {"axis": 2}), ("MatMul", "zu towards.weight", "t0", {}),
        ("Add", "t0 towards.bias", "t", {}), ("Gemm", "z cell.weight cell.bias", "c0", {}),
        ("Reshape", "c0 cell_shape", "c", {}), ("Concat", "t c", "l", {"axis": 1}),
        ("Add", "l mask", "lm", {}), ("ArgMax", "lm", "action", {"axis": 2, "keepdims": 0}),
    ]  # fmt: skip
    nodes = [helper.make_node(op, given.split(), [made], **how) for op, given, made, how in steps]
    columns = case["mask"].shape[2]
    graph = helper.make_graph(
        nodes, "actor",
        [helper.make_tensor_value_info("seen", TensorProto.FLOAT, [cells, features]),
         helper.make_tensor_value_info("mask", TensorProto.FLOAT, [cells, columns, 3])],
        [helper.make_tensor_value_info("action", TensorProto.INT64, [cells, columns])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    given = {
        "seen": case["seen"][0],
        "mask": np.where(case["mask"][0] != 0, 0, -1e9).astype(np.float32),
    }
    return lambda: session.run(None, given)[0][None]


def tensors(case: Any) -> dict[str, Any]:
    """Return the tensors of the actor."""
    return {name[2:]: case[name] for name in case.files if name.startswith("w:")}


def main() -> None:
    """Print percentiles [us] and what was chosen as JSON."""
    mode, path, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    modes = {"cellhive": cellhive, "numpy": numpy, "torch": torch, "onnxruntime": onnxruntime}
    decide = modes[mode](np.load(path))
    for _ in range(calls // 10):
        chosen = decide()
    times = np.empty(calls)
    for i in range(calls):
        begin = perf_counter_ns()
        decide()
        times[i] = perf_counter_ns() - begin
    p50, p99, p999 = np.percentile(times / 1000, [50, 99, 99.9])
    told = {"p50": p50, "p99": p99, "p999": p999, "most": times.max() / 1000}
    print(json.dumps({**told, "chosen": np.asarray(chosen).ravel().tolist()}))


if __name__ == "__main__":
    main()
