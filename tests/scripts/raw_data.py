"""Tiny data sets in the layouts in which the real ones are in circulation."""

import json

import nibabel as nib
import numpy as np
from PIL import Image

LAS = np.array([[-0.8, 0, 0, 100], [0, 0.8, 0, -50], [0, 0, 3, 10], [0, 0, 0, 1.0]])
"""Affine of a scan whose columns run to the right, as many CT have it."""
AMOS_LABELS = [
    "background", "spleen", "right kidney", "left kidney", "gall bladder", "esophagus", "liver", "stomach", "arota",
    "postcava", "pancreas", "right adrenal gland", "left adrenal gland", "duodenum", "bladder", "prostate/uterus",
]  # fmt: skip


def nifti(path, array, affine=LAS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def rewrite(path, change=lambda array: array, affine=None):
    image = nib.load(path)
    array = change(np.array(image.dataobj))
    nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)


def redraw(path, change):
    Image.fromarray(change(np.array(Image.open(path)))).save(path)


def bars(count, shape=(6, 5, 4)):
    """A label map with each of the numbers 0 … count - 1, at least one voxel each."""
    return (np.arange(np.prod(shape)) % count).reshape(shape).astype(np.uint8)


def voxels(seed, shape=(6, 5, 4), low=-1000, high=1000):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.int16)


def synapse_raw(root, cases=(1, 5, 9)):
    for n in cases:
        nifti(root / f"RawData/Training/img/img{n:04d}.nii.gz", voxels(n))
        nifti(root / f"RawData/Training/label/label{n:04d}.nii.gz", bars(14))
    nifti(root / "RawData/Testing/img/img0061.nii.gz", voxels(61))


def synapse_prepared(root, labels, hu):
    """Case 5 as slices and case 1 as a volume, of arrays rows × columns × slices in any orientation."""
    import h5py

    unit = ((np.clip(hu, -125, 275) + 125) / 400).astype(np.float32)
    (root / "train_npz").mkdir(parents=True)
    (root / "test_vol_h5").mkdir()
    for z in range(hu.shape[2]):
        path = root / f"train_npz/case0005_slice{z:03d}.npz"
        np.savez(path, image=unit[:, :, z], label=labels[:, :, z].astype(np.float32))
    with h5py.File(root / "test_vol_h5/case0001.npy.h5", "w") as file:
        file["image"] = np.moveaxis(unit, -1, 0)
        file["label"] = np.moveaxis(labels, -1, 0).astype(np.float32)


def acdc_raw(root, patients=(1, 2, 19)):
    for n in patients:
        for frame in (1, 12):
            path = root / f"database/training/patient{n:03d}/patient{n:03d}_frame{frame:02d}"
            nifti(path.with_name(path.name + ".nii.gz"), voxels(10 * n + frame, low=0), np.diag([-1.5, -1.5, 10, 1]))
            nifti(path.with_name(path.name + "_gt.nii.gz"), bars(4), np.diag([-1.5, -1.5, 10, 1]))
        nifti(root / f"database/training/patient{n:03d}/patient{n:03d}_4d.nii.gz", np.zeros((6, 5, 4, 2), np.int16))


def acdc_prepared(root):
    """Patient 1 and 19 as slices, 2 as a volume."""
    for folder, n in (("train", 1), ("valid", 19)):
        (root / folder).mkdir(parents=True)
        image, label = voxels(n, low=0), bars(4)
        for z in range(4):
            path = root / folder / f"case_{n:03d}_sliceED_{z}.npz"
            np.savez(path, img=image[:, :, z].astype(np.float32), label=label[:, :, z])
    (root / "test").mkdir()
    np.savez(
        root / "test/case_002_volume_ED.npz",
        img=np.moveaxis(voxels(2, low=0), -1, 0),
        label=np.moveaxis(bars(4), -1, 0),
    )


def amos(root, training=(507, 508, 510, 12), validation=(600,)):
    labels = {str(number): name for number, name in enumerate(AMOS_LABELS)}
    root.mkdir(parents=True)
    (root / "dataset.json").write_text(json.dumps({"name": "AMOS", "labels": labels}))
    for part, numbers in (("Tr", training), ("Va", validation)):
        for n in numbers:
            nifti(root / f"images{part}/amos_{n:04d}.nii.gz", voxels(n))
            nifti(root / f"labels{part}/amos_{n:04d}.nii.gz", bars(16))
    nifti(root / "imagesTs/amos_0601.nii.gz", voxels(601))


def nnunet(root, names, image, label, suffix, training=("a_1", "a_2", "b_1"), test=("a_1",)):
    """Any data set of nnU-Net's raw layout; image and label make a file from a path and a number."""
    root.mkdir(parents=True)
    labels = {name: number for number, name in enumerate(names)}
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": suffix, "channel_names": {}}))
    for part, cases in (("Tr", training), ("Ts", test)):
        for number, name in enumerate(cases, start=len(part) if part == "Ts" else 10):
            image(root / f"images{part}" / f"{name}_0000{suffix}", number)
            label(root / f"labels{part}" / f"{name}{suffix}", number)


def rgb(seed, shape=(12, 20)):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)


def endovis(root, sequences=(1, 2, 3)):
    """Two frames of each sequence: a bipolar forceps over an ultrasound probe, and a frame of the test set."""
    for n in sequences:
        folder = root / f"train/instrument_dataset_{n}"
        for frame in range(2):
            png(folder / f"left_frames/frame{frame:03d}.png", rgb(10 * n + frame))
            masks = np.zeros((2, 12, 20), np.uint8)
            masks[0, 2:6, 2:10] = 10
            masks[1, 5:8, 8:14] = 20
            png(folder / f"ground_truth/Maryland_Bipolar_Forceps_labels/frame{frame:03d}.png", masks[0])
            colour = np.repeat(masks[1][..., None], 3, axis=2)
            png(folder / f"ground_truth/Other_labels/frame{frame:03d}.png", colour)
    png(root / "test/instrument_dataset_1/left_frames/frame225.png", rgb(225))
    types = np.zeros((12, 20), np.uint8)
    types[3:5, 3:9] = 6
    png(root / "gt/instrument_dataset_1/gt/TypeSegmentation/frame225.png", types)


def blobs(shape=(40, 60)):
    """Three instances, two of which touch."""
    instances = np.zeros(shape, np.uint16)
    instances[5:15, 5:15] = 3
    instances[5:15, 15:25] = 300
    instances[25:37, 30:50] = 7
    return instances


def cells(root):
    """Pictures of 8 and 16 bits, grey and in colours."""
    grey16 = np.random.default_rng(1).integers(0, 4000, (40, 60)).astype(np.uint16)
    pictures = {
        "cell_00001.png": grey16,
        "cell_00002.bmp": rgb(2, (40, 60)),
        "cell_00003.tif": rgb(3, (40, 60))[..., 0],
    }
    for name, picture in pictures.items():
        png(root / "Training-labeled/images" / name, picture)
        png(root / "Training-labeled/labels" / f"{name.partition('.')[0]}_label.tiff", blobs())
    png(root / "Tuning/images/cell_00001.tiff", rgb(4, (40, 60)))
    png(root / "Tuning/labels/cell_00001_label.tiff", blobs())


def decathlon(
    root, labels=("Anterior", "Posterior"), modality=("MRI",), cases=("hippocampus_001", "x_2", "x_3", "x_4")
):
    """A task of the Decathlon; several modalities are the fourth axis of an image."""
    for n, name in enumerate(cases):
        channels = [voxels(10 * n + k, low=0).astype(np.float32) for k in range(len(modality))]
        image = channels[0] if len(channels) == 1 else np.stack(channels, axis=-1)
        nifti(root / f"imagesTr/{name}.nii.gz", image, np.eye(4))
        nifti(root / f"labelsTr/{name}.nii.gz", bars(len(labels) + 1), np.eye(4))
        (root / "imagesTr" / f"._{name}.nii.gz").write_bytes(b"of macOS, as in the archive")
    nifti(root / "imagesTs/x_9.nii.gz", voxels(9), np.eye(4))
    content = {
        "name": "Hippocampus",
        "modality": {str(n): name for n, name in enumerate(modality)},
        "labels": {str(n): name for n, name in enumerate(("background", *labels))},
        "licence": "CC-BY-SA 4.0",
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in cases],
        "test": ["./imagesTs/x_9.nii.gz"],
    }
    (root / "dataset.json").write_text(json.dumps(content))


def bowl(root, pictures=("00071198d059" + "a" * 52, "b" * 64, "c" * 64)):
    """The Bowl's layout: one folder for each picture, with a PNG for each nucleus."""
    for n, name in enumerate(pictures):
        folder = root / "stage1_train" / name
        alpha = np.full((40, 60, 1), 255, np.uint8)
        png(folder / f"images/{name}.png", np.concatenate([rgb(n, (40, 60)), alpha], axis=2))
        instances = blobs()
        for number in np.unique(instances)[1:]:
            png(folder / f"masks/{number:03d}{'e' * 61}.png", np.where(instances == number, 255, 0).astype(np.uint8))
