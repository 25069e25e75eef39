"""A small 3D CNN trained from scratch for each job of foundation.mjs: python peer.py DIR; prints its answers as JSON.

DIR holds grids.f32 [cases, g, g, g] and jobs.json {grid, jobs: [{classes, train, truth, test, seed}]}.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
EPOCHS, LEAST_STEPS, BATCH = 20, 400, 16
folder = Path(sys.argv[1])
told = json.loads((folder / "jobs.json").read_text())
grid = told["grid"]
grids = torch.from_numpy(np.fromfile(folder / "grids.f32", np.float32).reshape(-1, 1, grid, grid, grid))


def network(classes):
    def block(a, b, stride):
        return [nn.Conv3d(a, b, 3, stride, 1, bias=False), nn.BatchNorm3d(b), nn.ReLU()]

    return nn.Sequential(
        *block(1, 8, 2), *block(8, 16, 2), *block(16, 32, 1), nn.MaxPool3d(2), *block(32, 64, 1),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, classes),
    )  # fmt: skip


def altered(x, generator):
    """Shifts of up to two samples, gain and noise: what leaves the labels true."""
    shift = torch.randint(-2, 3, (3,), generator=generator).tolist()
    x = torch.roll(x, shift, (2, 3, 4))
    gain = 1 + 0.1 * torch.randn(len(x), 1, 1, 1, 1, generator=generator)
    return x * gain + 0.05 * torch.randn(x.shape, generator=generator)


answers = []
for number, job in enumerate(told["jobs"]):
    torch.manual_seed(job["seed"])
    generator = torch.Generator().manual_seed(job["seed"])
    model = network(job["classes"])
    train, truth = grids[job["train"]], torch.tensor(job["truth"])
    counts = torch.bincount(truth, minlength=job["classes"]).clamp(min=1)
    loss_of = nn.CrossEntropyLoss(weight=len(truth) / (job["classes"] * counts))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=1e-2)
    a_time = -(-len(truth) // BATCH)
    epochs = max(EPOCHS, -(-LEAST_STEPS // a_time))
    steps = epochs * a_time
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(truth), generator=generator).split(BATCH):
            if len(rows) < 2:
                schedule.step()
                continue
            loss = loss_of(model(altered(train[rows], generator)), truth[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        answers.append(torch.cat([model(x).argmax(1) for x in grids[job["test"]].split(64)]).tolist())
    print(f"job {number + 1} of {len(told['jobs'])}", file=sys.stderr)
print(json.dumps(answers))
