"""DICOM series to compressed arrays as a Python team would write it: pydicom reads, zarr writes blosc (zstd) chunks.

It does as much of what `precess ingest` does as a short program can: files are grouped by series, orientation and echo,
sorted along the normal and stacked; the affine (RAS+ mm), the rescaling and a cleaned header go into the attributes; ids
are replaced by keyed hashes, dates left out; the voxels are hashed under the key. It does not look for text in the
pixels, zero-filled regions or missing slices, does not measure quality, clean free text, keep a table that can be
searched, an audit log or rights, or make sure that what it wrote is on the disk.

pip install pydicom zarr numpy; python peer.py SOURCE OUT
"""

import hashlib
import hmac
import os
import secrets
import sys

import numpy as np
import pydicom
import zarr
from zarr.codecs import BloscCodec

TAGS = ["Modality", "SeriesInstanceUID", "ImageOrientationPatient", "ImagePositionPatient", "EchoTime"]
KEPT = [
    "Modality",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "BodyPartExamined",
    "ScanningSequence",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "FlipAngle",
    "SliceThickness",
]

source, out = sys.argv[1:]
key = secrets.token_bytes(32)


def pseudonym(value):
    return hmac.new(key, str(value).encode(), hashlib.sha256).hexdigest()[:16]


groups = {}
for folder, _, names in os.walk(source):
    for name in names:
        path = os.path.join(folder, name)
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        except pydicom.errors.InvalidDicomError:
            continue
        if header.get("Modality") != "MR" or "ImageOrientationPatient" not in header:
            continue
        orientation = tuple(round(float(v), 4) for v in header.ImageOrientationPatient)
        group = (header.SeriesInstanceUID, orientation, header.get("EchoTime"))
        normal = np.cross(orientation[:3], orientation[3:])
        at = float(np.dot(normal, [float(v) for v in header.ImagePositionPatient]))
        groups.setdefault(group, []).append((at, path))

for (uid, orientation, _), slices in groups.items():
    slices.sort()
    first, volume, position, last = None, None, None, None
    for k, (_, path) in enumerate(slices):
        image = pydicom.dcmread(path)
        if first is None:
            first = image
            volume = np.empty((len(slices), image.Rows, image.Columns), image.pixel_array.dtype)
            position = np.array([float(v) for v in image.ImagePositionPatient])
        volume[k] = image.pixel_array
        last = np.array([float(v) for v in image.ImagePositionPatient])
    rows, columns = [float(v) for v in first.PixelSpacing]
    right, down = np.array(orientation[:3]), np.array(orientation[3:])
    step = (last - position) / max(1, len(slices) - 1)
    affine = np.eye(4)
    affine[:3] = np.stack([right * columns, down * rows, step, position], axis=1)
    affine[:2] *= -1
    name = pseudonym((uid, orientation, first.get("EchoTime")))
    array = zarr.create_array(
        store=os.path.join(out, f"{name}.zarr"),
        shape=volume.shape,
        chunks=tuple(min(64, size) for size in volume.shape),
        dtype=volume.dtype,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
        attributes={
            "affine": affine.tolist(),
            "slope": float(first.get("RescaleSlope", 1)),
            "intercept": float(first.get("RescaleIntercept", 0)),
            "patient": pseudonym(first.get("PatientID")),
            "study": pseudonym(first.get("StudyInstanceUID")),
            "hash": hmac.new(key, volume, hashlib.sha256).hexdigest(),
            "header": {tag: str(first.get(tag)) for tag in KEPT if tag in first},
        },
    )
    array[:] = volume
print(len(groups))
