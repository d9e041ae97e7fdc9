"""Small bundles and studies to serve: the bundles' own configs with small sizes and random weights."""

from __future__ import annotations

import json
import shutil
from ast import literal_eval
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.bundle import ConfigParser
from PIL import Image

from components.transforms.instances import interior_boundary
from scripts.data.labels import CLASSES
from scripts.data.samples.ct import TOTAL_TO_SYNAPSE
from scripts.data.samples.mr import TOTAL_NAMES
from tests.bundles.workflow import ROOT, TRAINING

SAMPLES = ROOT / "scripts" / "data" / "samples"


def tiny_bundle(name: str, folder: Path, weights: bool = True) -> Path:
    """Copy a bundle into a folder, with the small sizes of the workflow tests, few features and random weights."""
    target = folder / name
    shutil.copytree(ROOT / "bundles" / name / "configs", target / "configs")
    sizes = {key: literal_eval(value) if isinstance(value, str) else value for key, value in TRAINING[name].items()}
    for config in ("train", "inference"):
        path = target / "configs" / f"{config}.json"
        content = json.loads(path.read_text())
        content = {key: sizes.get(key, value) for key, value in content.items()} | {"num_workers": 0}
        if "features" in content["network_def"]:
            content["network_def"]["features"] = [width // 4 for width in content["network_def"]["features"]]
        path.write_text(json.dumps(content))
    if weights:
        content = json.loads((target / "configs" / "inference.json").read_text())
        torch.manual_seed(0)
        network = ConfigParser(content | {"bundle_root": str(target)}).get_parsed_content("network_def")
        (target / "models").mkdir()
        torch.save(network.state_dict(), target / "models" / "model.pt")
    return target


def studies(bundle: str, folder: Path, labels: Path) -> list[tuple[str, Path, list[dict[str, object]]]]:
    """Three crops of the sample of a bundle.

    Args:
        bundle: xlstm_abdomen_mri_3d (MR), msvm_synapse (CT) or a bundle for pictures.
        folder: where the images are written.
        labels: where their labels are written; those of the volumes have the numbers of TotalSegmentator.

    Returns:
        For each the name, the label and what 3D Slicer would tell about the segments in it.
    """
    if bundle == "xlstm_abdomen_mri_3d":
        return _volumes("mr", (60, 60, 14), 2, TOTAL_NAMES, folder, labels)
    if bundle == "msvm_synapse":
        names = {number: CLASSES[bundle][synapse] for number, synapse in TOTAL_TO_SYNAPSE.items()}
        return _volumes("ct", (70, 60, 6), 90, names, folder, labels)
    picture, instances = (np.asarray(Image.open(SAMPLES / f"{name}.png")) for name in ("nuclei", "nuclei_instances"))
    made = []
    for number in range(3):
        rows, columns = slice(number * 90, number * 90 + 90), slice(50, 200)
        path = labels / f"picture{number}.png"
        Image.fromarray(picture[rows, columns]).save(folder / path.name)
        Image.fromarray(interior_boundary(instances[rows, columns]).astype(np.uint8)).save(path)
        made.append((path.stem, path, []))
    return made


def _volumes(
    name: str, size: tuple[int, ...], first: int, names: dict[int, str], folder: Path, labels: Path
) -> list[tuple[str, Path, list[dict[str, object]]]]:
    image, total = nib.load(SAMPLES / f"{name}.nii.gz"), nib.load(SAMPLES / f"{name}_total_labels.nii.gz")
    made = []
    for number in range(3):
        starts = (20 + number * 5, 20, first + number * 2)
        crop = tuple(slice(start, start + length) for start, length in zip(starts, size, strict=True))
        path = labels / f"{name}{number}.nii.gz"
        nib.save(image.slicer[crop], folder / path.name)
        found = total.slicer[crop]
        numbers = np.asanyarray(found.dataobj)
        numbers = np.where(np.isin(numbers, list(names)), numbers, 0).astype(np.uint8)
        assert len(np.unique(numbers)) > 3
        nib.save(nib.Nifti1Image(numbers, found.affine), path)
        told = [{"name": names[n], "idx": int(n)} for n in np.unique(numbers) if n]
        made.append((f"{name}{number}", path, told))
    return made
