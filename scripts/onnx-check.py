"""Checks ONNX files with the reference implementation's checker and shape inference, both strict.

Usage: python onnx-check.py FILE... ; needs the PyPI package "onnx". Prints one line a file that fails and exits 1.
Shapes are inferred from the inputs alone, where the standard defines an operator, and compared with the declared ones.
"""

import sys

import onnx


def dims(value):
    tensor = value.type.tensor_type
    return tensor.elem_type, [d.dim_value for d in tensor.shape.dim]


def check(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    # The standard knows no shapes for operators of other domains, so those stay declared.
    custom = {name for node in model.graph.node if node.domain for name in node.output}
    declared = {value.name: dims(value) for value in model.graph.output if value.name not in custom}
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    for value in stripped.graph.output:
        if value.name in declared:
            value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(stripped, check_type=True, strict_mode=True, data_prop=True)
    known = {value.name: value for value in [*inferred.graph.output, *inferred.graph.value_info]}
    for name, expected in declared.items():
        if dims(known[name]) != expected:
            raise ValueError(f"output {name} is declared {expected}, inferred {dims(known[name])}")
    unknown = [name for node in model.graph.node for name in node.output if name and name not in known]
    if unknown:
        raise ValueError(f"no shape inferred for {unknown}")


failures = 0
for path in sys.argv[1:]:
    try:
        check(path)
    except Exception as error:
        failures += 1
        print(f"{path}: {type(error).__name__}: {error}")
sys.exit(1 if failures else 0)
