"""The job of `precess embed FOLDER` as a Python team would write it: pydicom and MONAI read and adapt, PyTorch encodes.

A folder of DICOM slices becomes a RAS+ volume at 2 mm, its foreground is cropped, intensities are scaled by
percentiles, and a 3D ViT (width 192, 8 layers, 512 tokens of 8 x 8 x 8 voxels = 16 mm) gives one vector.

pip install torch monai pydicom einops; python peer.py FOLDER [THREADS]
"""

import json
import sys

import torch
from monai.networks.nets import ViT
from monai.transforms import (
    Compose,
    CropForeground,
    EnsureChannelFirst,
    LoadImage,
    Orientation,
    ResizeWithPadOrCrop,
    ScaleIntensityRangePercentiles,
    Spacing,
)

torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
torch.manual_seed(0)
adapt = Compose(
    [
        LoadImage(reader="PydicomReader", image_only=True),
        EnsureChannelFirst(),
        Orientation(axcodes="RAS"),
        Spacing(pixdim=(2.0, 2.0, 2.0), mode="bilinear"),
        ScaleIntensityRangePercentiles(lower=5, upper=95, b_min=-1.0, b_max=1.0, clip=False),
        CropForeground(select_fn=lambda x: x > -0.8),
        ResizeWithPadOrCrop(spatial_size=(64, 64, 64)),
    ]
)
volume = adapt(sys.argv[1])
model = ViT(
    in_channels=1,
    img_size=(64, 64, 64),
    patch_size=(8, 8, 8),
    hidden_size=192,
    mlp_dim=768,
    num_layers=8,
    num_heads=3,
).eval()
with torch.inference_mode():
    tokens, _ = model(torch.as_tensor(volume)[None])
    vector = torch.nn.functional.normalize(tokens.mean(dim=1), dim=-1)[0]
print(json.dumps({"vector": [float(v) for v in vector]}))
