"""Tiny data sets of a user."""

import json

import numpy as np
from raw_data import nifti, png
from raw_data import redraw as redraw  # what the tests call as data.redraw and data.rewrite
from raw_data import rewrite as rewrite

AFFINE = np.array([[-1.2, 0, 0, 10], [0, -1.2, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])
SHAPE = (28, 24, 10)


def ellipsoids(shape, seed, count=2):
    """A label map with so many ellipsoids, which may overlap."""
    rng = np.random.default_rng(seed)
    label = np.zeros(shape, np.uint8)
    grid = np.indices(shape)
    for number in range(1, count + 1):
        centre = rng.uniform(0.3, 0.7, len(shape)) * shape
        radius = 0.22 * np.array(shape)
        where = ((grid - centre.reshape(-1, *[1] * len(shape))) / radius.reshape(-1, *[1] * len(shape))) ** 2
        label[where.sum(0) < 1] = number
    return label


def image_of(label, seed):
    return (100 * label + np.random.default_rng(seed).normal(300, 30, label.shape)).astype(np.int16)


def raw_volumes(root, channels=("T1", "T2"), training=5, test=1, shape=SHAPE, labels=("liver", "tumour")):
    """nnU-Net's raw layout with volumes."""
    for number in range(training + test):
        part = "Tr" if number < training else "Ts"
        label = ellipsoids(shape, number)
        for channel in range(len(channels)):
            nifti(root / f"images{part}/c{number}_{channel:04d}.nii.gz", image_of(label, 10 * number + channel), AFFINE)
        nifti(root / f"labels{part}/c{number}.nii.gz", label, AFFINE)
    names = {"background": 0} | {name: number for number, name in enumerate(labels, start=1)}
    content = {
        "channel_names": {str(n): name for n, name in enumerate(channels)},
        "labels": names,
        "file_ending": ".nii.gz",
        "numTraining": training,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def pair_of_pictures(root, count=6, shape=(40, 56), factor=100, grey=False):
    """Folders images and labels with PNG; the labels are 0, ``factor`` and twice that."""
    for number in range(count):
        label = ellipsoids(shape, number)
        noise = np.random.default_rng(number).integers(20, 90, (*shape, 3))
        picture = (noise + 60 * label[..., None]).astype(np.uint8)
        png(root / f"images/p{number}.png", picture[..., 0] if grey else picture)
        png(root / f"labels/p{number}.png", label * factor)
    return root
