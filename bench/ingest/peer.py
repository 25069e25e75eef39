"""DICOM series to compressed arrays as a Python team would write it: pydicom reads, zarr writes blosc (zstd) chunks.

Files are grouped by Series Instance UID and Image Orientation, sorted along the normal and stacked; rescaling and geometry
go into the attributes. Nothing is de-identified or inspected.

pip install pydicom zarr numpy; python peer.py SOURCE OUT
"""

import os
import sys

import numpy as np
import pydicom
import zarr
from zarr.codecs import BloscCodec

source, out = sys.argv[1:]
groups = {}
for folder, _, names in os.walk(source):
    for name in names:
        path = os.path.join(folder, name)
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:
            continue
        if header.get("Modality") != "MR" or "ImageOrientationPatient" not in header:
            continue
        orientation = tuple(round(float(v), 4) for v in header.ImageOrientationPatient)
        key = (header.SeriesInstanceUID, orientation, header.get("EchoTime"))
        normal = np.cross(orientation[:3], orientation[3:])
        at = float(np.dot(normal, [float(v) for v in header.ImagePositionPatient]))
        groups.setdefault(key, []).append((at, path))

for n, slices in enumerate(groups.values()):
    slices.sort()
    images = [pydicom.dcmread(path) for _, path in slices]
    first = images[0]
    volume = np.stack([image.pixel_array for image in images])
    chunks = tuple(min(64, size) for size in volume.shape)
    array = zarr.create_array(
        store=os.path.join(out, f"{n}.zarr"),
        shape=volume.shape,
        chunks=chunks,
        dtype=volume.dtype,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
    )
    array[:] = volume
    array.attrs.update(
        slope=float(first.get("RescaleSlope", 1)),
        intercept=float(first.get("RescaleIntercept", 0)),
        orientation=[float(v) for v in first.ImageOrientationPatient],
        position=[float(v) for v in first.ImagePositionPatient],
        spacing=[float(v) for v in first.PixelSpacing],
    )
print(len(groups))
