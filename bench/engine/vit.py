"""The peer of run.mjs: the same ViT in PyTorch. Reads one JSON request a line, answers with one JSON line.

First line: {"params": path of float32 weights, "tokens": path of float32 input, "shape": {...}, "slices": [...],
"activation": name, "threads": n}; then {"run": "forward" | "backward"} for one timed run.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F


def read(path):
    with open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.float32)


ACTIVATIONS = {
    "gelu": F.gelu,
    "geluTanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "reluSquared": lambda x: F.relu(x).square(),
}


def model(x, weights, layers, heads, activation):
    batch, tokens, width = x.shape
    for layer in range(layers):
        w = lambda name: weights[f"blocks.{layer}.{name}"]
        h = F.layer_norm(x, (width,), w("norm1.scale"), w("norm1.bias"), 1e-6)
        qkv = F.linear(h, w("attention.qkv.weight").T, w("attention.qkv.bias"))
        q, k, v = (t.view(batch, tokens, heads, -1).transpose(1, 2) for t in qkv.chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + F.linear(y, w("attention.out.weight").T, w("attention.out.bias"))
        h = F.layer_norm(x, (width,), w("norm2.scale"), w("norm2.bias"), 1e-6)
        h = activation(F.linear(h, w("mlp.fc1.weight").T, w("mlp.fc1.bias")))
        x = x + F.linear(h, w("mlp.fc2.weight").T, w("mlp.fc2.bias"))
    return F.layer_norm(x, (width,), weights["norm.scale"], weights["norm.bias"], 1e-6)


def main():
    setup = json.loads(sys.stdin.readline())
    torch.set_num_threads(setup["threads"])
    shape = setup["shape"]
    flat = read(setup["params"])
    # nn.Linear keeps its weight as [out, in]; give PyTorch its own layout so that neither side pays for the other's.
    weights = {}
    for piece in setup["slices"]:
        tensor = flat[piece["offset"] : piece["offset"] + piece["size"]].view(piece["shape"])
        if tensor.dim() == 2:
            tensor = tensor.T.contiguous().T
        weights[piece["name"]] = tensor.detach().requires_grad_()
    x = read(setup["tokens"]).view(shape["batch"], shape["tokens"], shape["width"])
    activation = ACTIVATIONS[setup["activation"]]
    run = lambda: model(x, weights, shape["layers"], shape["heads"], activation).square().mean()
    print(json.dumps({"version": torch.__version__, "blas": torch.__config__.show()}), flush=True)
    for line in sys.stdin:
        backward = json.loads(line)["run"] == "backward"
        for weight in weights.values():
            weight.grad = None
        start = time.perf_counter()
        if backward:
            loss = run()
            loss.backward()
        else:
            with torch.inference_mode():
                loss = run()
        seconds = time.perf_counter() - start
        norm = sum(float(w.grad.double().square().sum()) for w in weights.values()) ** 0.5 if backward else None
        print(json.dumps({"seconds": seconds, "loss": loss.item(), "gradNorm": norm}), flush=True)


main()
