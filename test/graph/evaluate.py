"""Runs an ONNX file by onnx's reference implementation in numpy, where halves are halves.

python evaluate.py MODEL.onnx INPUTS.json: prints the outputs as JSON, {name: [numbers]}.
"""

import json
import sys

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


class FusedMatMul(OpRun):
    op_domain = "com.microsoft"

    def _run(self, a, b, transA=0, transB=0, alpha=1.0, transBatchA=0, transBatchB=0):
        a = np.swapaxes(a, -1, -2) if transA else a
        b = np.swapaxes(b, -1, -2) if transB else b
        # A unit that multiplies halves adds up in single precision and rounds once.
        product = np.matmul(a.astype(np.float32), b.astype(np.float32)) * np.float32(alpha or 1.0)
        return (product.astype(a.dtype),)


model = onnx.load(sys.argv[1])
given = json.load(open(sys.argv[2]))
shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
feeds = {name: np.asarray(data, np.float32).reshape(shapes[name]) for name, data in given.items()}
names = [o.name for o in model.graph.output]
with np.errstate(over="ignore"):
    results = ReferenceEvaluator(model, new_ops=[FusedMatMul]).run(names, feeds)
print(json.dumps({name: np.asarray(r, np.float64).flatten().tolist() for name, r in zip(names, results)}))
