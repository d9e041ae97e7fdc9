"""What is refused before it is worked on, and that files are read to their end."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from PIL import Image

from components.transforms import CheckItemd, LoadWholeImaged

KEYS = ["image", "label"]


def item(image=None, label=None, affine=None, label_affine=None):
    image = torch.rand(1, 4, 5, 3) if image is None else image
    label = torch.ones(1, 4, 5, 3) if label is None else label
    files = {"image": "scan.nii.gz", "label": "map.nii.gz"}
    return {
        key: MetaTensor(value, affine=torch.eye(4) if place is None else place, meta={"filename_or_obj": files[key]})
        for key, value, place in (("image", image, affine), ("label", label, label_affine))
    }


def filled(value, shape=(1, 4, 5, 3)):
    return torch.full(shape, float(value))


def with_one(value, where="image"):
    tensor = torch.rand(1, 4, 5, 3) if where == "image" else torch.ones(1, 4, 5, 3)
    tensor[0, 1, 2, 1] = value
    return tensor


def test_what_is_sound_is_left_as_it_is():
    given = item()
    after = CheckItemd(KEYS, channels=1, num_classes=2)({**given, "instances": "left alone"})
    assert all(after[key] is given[key] for key in KEYS)
    CheckItemd(KEYS, channels=1, num_classes=2)(item(image=filled(0, (1, 4, 5, 1)), label=filled(0, (1, 4, 5, 1))))
    CheckItemd(["image"], channels=3)({"image": torch.randint(0, 255, (3, 4, 5), dtype=torch.uint8)})
    CheckItemd(KEYS, channels=1)(item(label=filled(200)))
    CheckItemd(KEYS, channels=1, allow_missing_keys=True)({"image": torch.rand(1, 2, 2)})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"image": with_one(float("nan"))}, r"^scan.nii.gz: it has voxels that are NaN or infinite"),
        ({"image": with_one(float("inf"))}, r"^scan.nii.gz: it has voxels that are NaN or infinite"),
        ({"image": with_one(float("-inf"))}, r"^scan.nii.gz: it has voxels that are NaN or infinite"),
        ({"image": filled(7)}, r"^scan.nii.gz: all voxels are 7, so there is nothing to see"),
        ({"image": torch.rand(1, 0, 5, 3)}, r"^scan.nii.gz: its shape is 0 × 5 × 3, so that it has no voxel"),
        ({"image": torch.rand(2, 4, 5, 3)}, r"^scan.nii.gz: it has 2 channels, but 1 is needed"),
        ({"label": torch.ones(1, 5, 4, 3)}, r"^map.nii.gz: its shape is 5 × 4 × 3, but that of its image is 4 × 5 × 3"),
        ({"label": torch.ones(2, 4, 5, 3)}, r"^map.nii.gz: it has 2 channels, but 1 is needed"),
        (
            {"label_affine": torch.diag(torch.tensor([1, 1, 2.0, 1]))},
            r"^map.nii.gz: its affine differs .* by up to 1 mm",
        ),
        ({"label_affine": torch.full((4, 4), float("nan"))}, r"^map.nii.gz: its affine differs"),
        ({"label": with_one(200, "label")}, r"^map.nii.gz: it has the label 200, but the network has 0 to 8: correct"),
        ({"label": with_one(-1, "label")}, r"^map.nii.gz: it has the label -1, but the network has 0 to 8"),
        ({"label": with_one(9, "label")}, r"^map.nii.gz: it has the label 9, but the network has 0 to 8"),
        ({"label": with_one(0.5, "label")}, r"^map.nii.gz: it has labels with fractions"),
        ({"label": with_one(float("nan"), "label")}, r"^map.nii.gz: it has labels that are NaN"),
    ],
)
def test_what_is_refused(given, told):
    with pytest.raises(ValueError, match=told) as caught:
        CheckItemd(KEYS, channels=1, num_classes=9)(item(**given))
    assert "scanseg data check" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def volume():
    rng = np.random.default_rng(0)
    return nib.Nifti1Image(rng.integers(-1000, 1000, (20, 18, 16)).astype(np.int16), np.diag([0.7, -0.8, 2, 1]))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_the_same_as_monai(volume, kind, ending, tmp_path):
    path = tmp_path / f"scan{ending}"
    image = kind(volume.dataobj, volume.affine)
    image.header.set_slope_inter(2.0, -3.0)
    nib.save(image, path)
    ours, theirs = (load("image")({"image": str(path)})["image"] for load in (LoadWholeImaged, LoadImaged))
    assert torch.equal(ours.as_tensor(), theirs.as_tensor())
    assert torch.equal(ours.affine, theirs.affine)
    assert ours.meta.keys() == theirs.meta.keys()
    assert ours.meta["filename_or_obj"] == theirs.meta["filename_or_obj"] == str(path)


def test_several_files_are_channels(volume, tmp_path):
    paths = [str(tmp_path / f"{n}.nii.gz") for n in range(2)]
    for path in paths:
        nib.save(volume, path)
    load = Compose([LoadWholeImaged("image"), EnsureChannelFirstd("image"), CheckItemd("image", channels=2)])
    assert load({"image": paths})["image"].shape == (2, 20, 18, 16)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_flipped_bit_is_noticed(volume, place, tmp_path):
    path = tmp_path / "scan.nii.gz"
    nib.save(volume, path)
    raw = bytearray(path.read_bytes())
    raw[int(place * len(raw))] ^= 4
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"scan\.nii\.gz cannot be read: "):
        LoadWholeImaged("image")({"image": str(path)})


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_file_that_is_cut_off(volume, ending, tmp_path):
    path = tmp_path / f"scan{ending}"
    nib.save(volume, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=rf"scan{ending} cannot be read: "):
        LoadWholeImaged("image")({"image": str(path)})


def test_a_header_that_promises_more(volume, tmp_path):
    path = tmp_path / "scan.nii.gz"
    raw = bytearray(volume.to_bytes())
    raw[42:48] = np.array([30000, 30000, 30000], np.int16).tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(ValueError, match="its header says 54000000000352 bytes, but there are 11872"):
        LoadWholeImaged("image")({"image": str(path)})


def picture(path, mode="RGB"):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (30, 40, 3) if mode == "RGB" else (30, 40)).astype(np.uint8)).save(path)
    return path


def test_every_byte_of_a_png_counts(tmp_path):
    path = picture(tmp_path / "scan.png")
    raw = path.read_bytes()
    load = LoadWholeImaged("image", reader="PILReader")
    before = load({"image": str(path)})["image"]
    start = raw.index(b"IDAT")
    for place in range(start, len(raw) - 12, 97):
        damaged = bytearray(raw)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"scan\.png cannot be read: "):
            load({"image": str(path)})
    path.write_bytes(raw)
    assert torch.equal(load({"image": str(path)})["image"], before)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("scan.png", b"", "cannot identify image file"),
        ("scan.jpg", b"no picture", "cannot identify image file"),
        ("scan.nii.gz", b"", "it is not a NIfTI image"),
        ("scan.nii.gz", b"not gzip", "Not a gzipped file"),
        ("scan.nii.gz", gzip.compress(b"\0" * 400, mtime=0), ""),
        ("scan.nii", b"\0" * 348, ""),
        ("scan.xyz", b"", ""),
    ],
)
def test_what_is_no_image(name, content, reason, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    reader = "PILReader" if name.endswith(("png", "jpg")) else None
    with pytest.raises(ValueError, match=rf"{name} cannot be read: .*({reason})") as caught:
        LoadWholeImaged("image", reader=reader)({"image": str(path)})
    assert "\n" not in str(caught.value)
