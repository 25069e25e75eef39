"""Runs an ONNX file in Python's ONNX Runtime: run_onnx.py MODEL FEEDS.json, prints every output as a flat list."""
import json
import sys

import numpy as np
import onnxruntime

model, feeds_file = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
feeds = {
    name: np.array(feed["data"], dtype=feed["type"]).reshape(feed["shape"])
    for name, feed in json.load(open(feeds_file)).items()
}
names = [output.name for output in session.get_outputs()]
print(json.dumps(dict(zip(names, (values.ravel().tolist() for values in session.run(names, feeds))))))
