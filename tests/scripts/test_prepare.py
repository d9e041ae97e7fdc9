"""``data prepare`` on tiny data sets in each layout, through the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import raw_data as raw
from PIL import Image

from components.transforms.instances import interior_boundary
from scripts.cli import main
from scripts.data.labels import CLASSES
from scripts.data.layouts import held_out
from scripts.data.reading import read_nifti, read_picture
from scripts.data.sources.synapse import PUBLISHED
from scripts.errors import UserError

ROOT = Path(__file__).parents[2]
BTCV = [
    "background", "spleen", "right kidney", "left kidney", "gallbladder", "oesophagus", "liver", "stomach", "aorta",
    "inferior vena cava", "portal vein", "pancreas", "right adrenal gland", "left adrenal gland",
]  # fmt: skip


def abdomen_nnunet(root):
    names = CLASSES["xlstm_abdomen_mri_3d"]
    names = [name.replace("oe", "e") for name in (names[0], *reversed(names[1:]))]
    raw.nnunet(root, names, lambda p, n: raw.nifti(p, raw.voxels(n)), lambda p, _: raw.nifti(p, raw.bars(14)),
               ".nii.gz")  # fmt: skip


def endovis_nnunet(root):
    names = [name.title() for name in CLASSES["xlstm_endoscopy"]]
    raw.nnunet(root, ["background", *names[1:]], lambda p, n: raw.png(p, raw.rgb(n)),
               lambda p, _: raw.png(p, raw.bars(8, (12, 20))), ".png", ("v1_1", "v1_2", "v2_1"), ("t_1",))  # fmt: skip


def cells_nnunet(root):
    classes = interior_boundary(raw.blobs())
    raw.nnunet(root, CLASSES["xlstm_cells"], lambda p, n: raw.png(p, raw.rgb(n, (40, 60))),
               lambda p, _: raw.png(p, classes), ".png", test=())  # fmt: skip
    raw.png(root / "imagesVal/cell_00001_0000.png", raw.rgb(9, (40, 60)))
    raw.png(root / "labelsVal-instance-mask/cell_00001_label.tiff", raw.blobs())


def synapse_prepared(root):
    raw.synapse_prepared(root, raw.bars(9), raw.voxels(5))


def hippocampus(root):
    raw.decathlon(root, cases=(*KEPT["xlstm_hippocampus_mri_3d"], "x_2"))


def bowl(root):
    raw.bowl(root, [*(name + "a" * 52 for name in KEPT["xlstm_nuclei"]), "b" * 64])


SPLITS = json.loads((ROOT / "scripts/data/sources/splits.json").read_text())
KEPT = {bundle: [parts[part][0] for part in ("training", "validation")] for bundle, parts in SPLITS.items()}
"""A case of each part of the trained bundles; all others are test cases."""

LAYOUTS = {
    "BTCV raw NIfTI": ("msvm_synapse", raw.synapse_raw, "label0005.nii.gz"),
    "TransUNet's prepared slices": ("msvm_synapse", synapse_prepared, "case0005_slice001.npz"),
    "ACDC raw NIfTI": ("msvm_acdc", raw.acdc_raw, "patient019_frame12_gt.nii.gz"),
    "ACDC prepared slices": ("msvm_acdc", raw.acdc_prepared, "case_002_volume_ED.npz"),
    "AMOS22": ("xlstm_abdomen_mri_3d", raw.amos, "amos_0510.nii.gz"),
    "nnU-Net's Dataset702_AbdomenMR": ("xlstm_abdomen_mri_3d", abdomen_nnunet, "b_1_0000.nii.gz"),
    "EndoVis 2017 frames": ("xlstm_endoscopy", raw.endovis, "frame001.png"),
    "nnU-Net's Dataset704_Endovis17": ("xlstm_endoscopy", endovis_nnunet, "v2_1_0000.png"),
    "NeurIPS 2022 cell segmentation challenge": ("xlstm_cells", raw.cells, "cell_00002_label.tiff"),
    "nnU-Net's Dataset703_NeurIPSCell": ("xlstm_cells", cells_nnunet, "cell_00001_label.tiff"),
    "the Decathlon's Task04_Hippocampus": ("xlstm_hippocampus_mri_3d", hippocampus, "x_2.nii.gz"),
    "2018 Data Science Bowl": ("xlstm_nuclei", bowl, f"003{'e' * 61}.png"),
}


def prepare(bundle, source, out, *more):
    return main(["data", "prepare", bundle, "--source", str(source), "--out", str(out), "--processes=1", *more])


def made(layout, folder):
    """The bundle and the data set in a layout."""
    bundle, maker, _ = LAYOUTS[layout]
    if maker is synapse_prepared:
        pytest.importorskip("h5py")
    maker(folder)
    return bundle, folder


@pytest.fixture
def prepared(tmp_path):
    """Make and prepare a data set in a layout; tells the folder."""

    def make(layout):
        bundle, source = made(layout, tmp_path / "raw")
        assert prepare(bundle, source, tmp_path / "out") == 0
        return tmp_path / "out"

    return make


def array(path):
    return np.asarray(Image.open(path)) if path.suffix == ".png" else np.asarray(nib.load(path).dataobj)


def displayed(volume):
    """A volume whose axes run to left, anterior and superior, as rows to posterior and columns to left."""
    return np.flip(volume, 1).swapaxes(0, 1)


def listed(out):
    return {
        part: [item["image"] for item in items]
        for part, items in json.loads((out / "datalist.json").read_text()).items()
    }


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_recognised_and_the_result_sound(layout, prepared, capsys):
    out = prepared(layout)
    told = capsys.readouterr().out
    assert f": {layout}, " in told
    assert f"{out} is ready: " in told
    record = json.loads((out / "dataset.json").read_text())
    assert record["layout"] == layout
    assert record["synthetic"] is False
    assert list(record["labels"].values()) == list(CLASSES[record["bundle"]])
    lists = json.loads((out / "datalist.json").read_text())
    assert list(lists) == ["training", "validation", "test"]
    assert record["number"] == {part: len(items) for part, items in lists.items()}
    paths = [path for items in lists.values() for item in items for path in item.values()]
    assert sorted(content(out)) == sorted([*paths, "datalist.json", "dataset.json"])
    for part, items in lists.items():
        for item in items:
            assert item["image"].startswith(f"images/{part}/")
            assert item["label"] == item["image"].replace("images/", "labels/")
            assert array(out / item["label"]).dtype == np.uint8
            if item["image"].endswith(".nii.gz"):
                image, label = nib.load(out / item["image"]), nib.load(out / item["label"])
                assert nib.aff2axcodes(image.affine) == ("P", "L", "S")
                np.testing.assert_array_equal(image.affine, label.affine)
            else:
                assert array(out / item["image"]).shape == (*array(out / item["label"]).shape, 3)
    if layout != "TransUNet's prepared slices":  # its two cases are the same volume
        assert main(["data", "check", str(out), "--processes=1"]) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_truncated_file_is_refused_by_name(layout, tmp_path, capsys):
    bundle, source = made(layout, tmp_path / "raw")
    damaged = sorted(source.rglob(LAYOUTS[layout][2]))[-1]
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size * 2 // 3])
    assert prepare(bundle, source, tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert str(damaged) in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert not list((tmp_path / "out").rglob(".partial.*"))


def test_synapse_raw_by_hand(prepared):
    out = prepared("BTCV raw NIfTI")
    numbers = [CLASSES["msvm_synapse"].index(name) if name in CLASSES["msvm_synapse"] else 0 for name in BTCV]
    assert numbers == [0, 7, 4, 3, 2, 0, 5, 8, 1, 0, 0, 6, 0, 0]
    expected = displayed(np.array(numbers)[raw.bars(14)])
    np.testing.assert_array_equal(array(out / "labels/test/case0001.nii.gz"), expected)
    image = nib.load(out / "images/test/case0001.nii.gz")
    np.testing.assert_array_equal(array(out / "images/test/case0001.nii.gz"), displayed(raw.voxels(1)))
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.header.get_zooms(), (0.8, 0.8, 3))
    for z in range(4):
        path = out / f"labels/training/case0005_slice{z:03d}.nii.gz"
        np.testing.assert_array_equal(array(path), expected[:, :, z : z + 1])
        np.testing.assert_allclose(nib.load(path).affine @ [0, 0, 0, 1], image.affine @ [0, 0, z, 1], atol=1e-4)
    assert listed(out)["validation"] == ["images/validation/case0009.nii.gz"]


def test_synapse_split_is_the_published_one():
    from scripts.data.sources.synapse import part

    assert set(PUBLISHED) == {*range(1, 11), *range(21, 41)}
    assert [n for n in PUBLISHED if part(n) == "test"] == [1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38]
    assert [n for n in PUBLISHED if part(n) == "validation"] == [9, 27, 37]


@pytest.mark.parametrize(
    ("bundle", "make"),
    [("xlstm_abdomen_mri_3d", raw.amos), ("xlstm_endoscopy", raw.endovis), ("xlstm_cells", raw.cells)],
)
def test_xlstm_with_all_published_training_cases(tmp_path, bundle, make):
    """As nnU-Net's fold all: the held-out cases are training cases, and none is lost."""
    make(tmp_path / "raw")
    names = {}
    for validation in ("held_out", "none"):
        assert prepare(bundle, tmp_path / "raw", tmp_path / validation, "--validation", validation) == 0
        lists = listed(tmp_path / validation)
        names[validation] = {part: {path.rpartition("/")[2] for path in paths} for part, paths in lists.items()}
    held_out, everything = names["held_out"], names["none"]
    assert held_out["validation"]
    assert everything["validation"] == set()
    assert everything["training"] == held_out["training"] | held_out["validation"]
    assert everything["test"] == held_out["test"]


def test_synapse_with_all_published_training_cases(tmp_path, capsys):
    raw.synapse_raw(tmp_path / "raw", cases=PUBLISHED)
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out", "--validation", "none") == 0
    assert "the 3 validation cases are in the training list (--validation none)" in capsys.readouterr().out
    lists = listed(tmp_path / "out")
    cases = {part: sorted({re.search(r"case(\d+)", path)[1] for path in paths}) for part, paths in lists.items()}
    assert cases["validation"] == []
    assert len(cases["training"]) == 18
    assert {"0009", "0027", "0037"} < set(cases["training"])
    assert len(cases["test"]) == 12
    assert all("_slice" in path for path in lists["training"])
    assert not (tmp_path / "out/images/validation").exists()
    record = json.loads((tmp_path / "out/dataset.json").read_text())
    assert record["split"].endswith("training cases, too (--validation none): case0009, case0027, case0037.")
    assert main(["data", "check", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_can_train_with_all(layout, tmp_path):
    bundle, source = made(layout, tmp_path / "raw")
    for out, flags in (("out", ()), ("all", ("--validation=none",))):
        assert prepare(bundle, source, tmp_path / out, *flags) == 0
    usual, every = listed(tmp_path / "out"), listed(tmp_path / "all")
    assert every["validation"] == []
    assert every["test"] == usual["test"]
    assert len({Path(path).name for path in every["training"]}) == len(every["training"]) >= len(usual["training"])
    assert set(usual["training"]) <= set(every["training"])


def test_the_choice_of_validation_is_not_mixed(tmp_path, capsys):
    raw.synapse_raw(tmp_path / "raw")
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out") == 0
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out", "--validation=none") == 2
    assert "already holds this data set, made with --validation held_out: delete it" in capsys.readouterr().err
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "new", "--validation=non") == 2
    assert "unknown --validation 'non', did you mean 'none'? Valid: held_out, none" in capsys.readouterr().err
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out", "--axcodes=stored") == 2
    assert "already holds this data set, made with --axcodes PLS: delete it" in capsys.readouterr().err
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "new", "--axcodes=PL") == 2
    assert "axcodes 'PL': give one of R and L, one of A and P" in capsys.readouterr().err
    assert prepare("xlstm_cells", tmp_path / "raw", tmp_path / "new", "--axcodes=stored") == 2
    assert "--axcodes is for volumes, but xlstm_cells takes pictures" in capsys.readouterr().err


def test_stored_label_is_turned_to_its_image(tmp_path):
    raw.synapse_raw(tmp_path / "raw", cases=(1,))
    path = next((tmp_path / "raw").rglob("label0001.nii.gz"))
    classes = raw.bars(14)
    label = nib.Nifti1Image(classes, nib.load(path).affine)
    nib.save(label.as_reoriented(nib.orientations.axcodes2ornt(("S", "R", "P"))), path)
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out", "--axcodes=stored") == 0
    image, made = (nib.load(tmp_path / f"out/{kind}/test/case0001.nii.gz") for kind in ("images", "labels"))
    np.testing.assert_array_equal(image.dataobj, raw.voxels(1))
    np.testing.assert_array_equal(made.affine, image.affine)
    np.testing.assert_array_equal(np.asanyarray(made.dataobj) == 4, classes == 2)  # the right kidney


def test_acdc_split_is_the_published_one():
    from scripts.data.sources.acdc import PATIENTS, part

    parts = [part(n) for n in PATIENTS]
    assert [parts.count(name) for name in ("training", "validation", "test")] == [70, 10, 20]


@pytest.mark.parametrize("turn", range(8))
def test_synapse_prepared_goes_back_to_hounsfield_units_and_upright(turn, tmp_path, capsys):
    pytest.importorskip("h5py")
    source = ROOT / "scripts/data/samples"
    numbers = {"aorta": 52, "gallbladder": 4, "left kidney": 3, "right kidney": 2, "liver": 5, "pancreas": 7,
               "spleen": 1, "stomach": 6}  # fmt: skip
    hu = read_nifti(source / "ct.nii.gz")[0][:, :, 70:110:8].astype(np.int16)
    total = read_nifti(source / "ct_total_labels.nii.gz")[0][:, :, 70:110:8]
    labels = sum((total == numbers[name]) * number for number, name in enumerate(CLASSES["msvm_synapse"]) if number)

    def turned(volume):
        volume = volume[:: 1 - 2 * (turn & 1), :: 1 - (turn & 2)]
        return volume.swapaxes(0, 1) if turn & 4 else volume

    raw.synapse_prepared(tmp_path / "raw", turned(labels), turned(hu))
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out") == 0
    assert "as the organs show" in capsys.readouterr().out
    image = array(tmp_path / "out/images/test/case0001.nii.gz")
    assert image.dtype == np.int16
    np.testing.assert_array_equal(image, hu.clip(-125, 275))
    np.testing.assert_array_equal(array(tmp_path / "out/labels/test/case0001.nii.gz"), labels)
    slice_ = nib.load(tmp_path / "out/images/training/case0005_slice003.nii.gz")
    np.testing.assert_array_equal(slice_.dataobj, hu[:, :, 3:4].clip(-125, 275))
    assert slice_.header.get_zooms() == (1, 1, 1)
    record = json.loads((tmp_path / "out/dataset.json").read_text())
    assert record["spacing"] == "unknown"
    assert record["assumed_spacing_mm"] == [1, 1, 1]
    assert record["axcodes"] == "PLS"
    # The arrays as published weights saw them, in the order of the files; the affine still says where they point to.
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "stored", "--axcodes=stored") == 0
    kept = nib.load(tmp_path / "stored/images/test/case0001.nii.gz")
    np.testing.assert_array_equal(kept.dataobj, turned(hu).clip(-125, 275))
    np.testing.assert_array_equal(array(tmp_path / "stored/labels/test/case0001.nii.gz"), turned(labels))
    record = json.loads((tmp_path / "stored/dataset.json").read_text())
    assert (record["axcodes"], record["source_axes"]) == ("stored", "".join(nib.aff2axcodes(kept.affine)))


def test_acdc_raw_by_hand(prepared):
    out = prepared("ACDC raw NIfTI")
    first = raw.voxels(11, low=0).astype(float)
    expected = ((first - first.min()) / (first.max() - first.min())).swapaxes(0, 1)
    stack = np.concatenate(
        [array(out / f"images/training/patient001_frame01_slice{z:03d}.nii.gz") for z in range(4)], axis=2
    )
    assert stack.dtype == np.float32
    np.testing.assert_allclose(stack, expected, atol=1e-7)
    assert (stack.min(), stack.max()) == (0, 1)
    np.testing.assert_array_equal(array(out / "labels/test/patient002_frame12.nii.gz"), raw.bars(4).swapaxes(0, 1))
    assert nib.load(out / "images/test/patient002_frame12.nii.gz").header.get_zooms() == (1.5, 1.5, 10)
    assert len(listed(out)["training"]) == 8
    assert "[0, 1]" in json.loads((out / "dataset.json").read_text())["intensities"]


def test_acdc_prepared_by_hand(prepared):
    out = prepared("ACDC prepared slices")
    assert listed(out)["validation"] == ["images/validation/patient019_ED.nii.gz"]
    for name in ("test/patient002_ED", "validation/patient019_ED"):
        np.testing.assert_array_equal(array(out / f"labels/{name}.nii.gz"), raw.bars(4))
    image = raw.voxels(19, low=0).astype(float)
    np.testing.assert_allclose(
        array(out / "images/validation/patient019_ED.nii.gz"),
        (image - image.min()) / (image.max() - image.min()),
        atol=1e-7,
    )


def test_amos_by_name(prepared, capsys):
    out = prepared("AMOS22")
    assert "left out: 1 CT volumes" in capsys.readouterr().out
    names = {"gall bladder": "gallbladder", "esophagus": "oesophagus", "arota": "aorta",
             "postcava": "inferior vena cava"}  # fmt: skip
    organs = [names.get(name, name) for name in raw.AMOS_LABELS]
    classes = CLASSES["xlstm_abdomen_mri_3d"]
    numbers = np.array([classes.index(name) if name in classes else 0 for name in organs])
    assert numbers.tolist() == [0, 3, 2, 13, 9, 10, 1, 11, 5, 6, 4, 7, 8, 12, 0, 0]
    np.testing.assert_array_equal(array(out / "labels/test/amos_0600.nii.gz"), displayed(numbers[raw.bars(16)]))
    np.testing.assert_array_equal(array(out / "images/test/amos_0600.nii.gz"), displayed(raw.voxels(600)))
    assert listed(out) == {
        "training": ["images/training/amos_0507.nii.gz", "images/training/amos_0510.nii.gz"],
        "validation": ["images/validation/amos_0508.nii.gz"],
        "test": ["images/test/amos_0600.nii.gz"],
    }


def test_nnunet_abdomen_is_remapped_by_name_too(prepared):
    out = prepared("nnU-Net's Dataset702_AbdomenMR")
    numbers = np.array([0, *range(13, 0, -1)])
    np.testing.assert_array_equal(array(out / "labels/test/a_1.nii.gz"), displayed(numbers[raw.bars(14)]))
    np.testing.assert_array_equal(array(out / "images/training/a_1.nii.gz"), displayed(raw.voxels(10)))
    np.testing.assert_array_equal(array(out / "images/test/a_1.nii.gz"), displayed(raw.voxels(2)))


def test_endovis_by_hand(prepared):
    out = prepared("EndoVis 2017 frames")
    expected = np.zeros((12, 20))
    expected[2:6, 2:10] = 1
    expected[5:8, 8:14] = 7  # over the forceps where they overlap
    np.testing.assert_array_equal(array(out / "labels/training/seq01_frame001.png"), expected)
    np.testing.assert_array_equal(array(out / "images/training/seq01_frame001.png"), raw.rgb(11))
    test = array(out / "labels/test/seq01_frame225.png")
    assert (test[3:5, 3:9] == 6).all()
    assert np.count_nonzero(test) == 12
    assert listed(out)["validation"] == [f"images/validation/seq02_frame00{n}.png" for n in (0, 1)]


def test_whole_videos_are_held_out_of_nnunets_form(prepared):
    out = prepared("nnU-Net's Dataset704_Endovis17")
    assert listed(out)["validation"] == ["images/validation/v2_1.png"]
    np.testing.assert_array_equal(array(out / "labels/test/t_1.png"), raw.bars(8, (12, 20)))


def test_cells_by_hand(prepared):
    out = prepared("NeurIPS 2022 cell segmentation challenge")
    for name in ("training/cell_00001", "validation/cell_00002", "test/cell_00001"):
        instances = array(out / f"instances/{name}.png")
        np.testing.assert_array_equal(instances, raw.blobs())
        np.testing.assert_array_equal(array(out / f"labels/{name}.png"), interior_boundary(raw.blobs()))
    grey = array(out / "images/training/cell_00001.png")
    source = np.random.default_rng(1).integers(0, 4000, (40, 60)).astype(float)
    low, high = np.percentile(source[source > 0], [1, 99])
    for channel in range(3):
        np.testing.assert_allclose(grey[..., channel], ((source - low) / (high - low) * 255).clip(0, 255), atol=1)
    assert (grey[..., 0].min(), grey[..., 0].max()) == (0, 255)


def test_hippocampus_by_hand(prepared):
    out = prepared("the Decathlon's Task04_Hippocampus")
    first, second = KEPT["xlstm_hippocampus_mri_3d"]
    lists = listed(out)
    assert lists["training"] == [f"images/training/{first}.nii.gz"]
    assert lists["validation"] == [f"images/validation/{second}.nii.gz"]
    assert lists["test"] == ["images/test/x_2.nii.gz"]  # what the weights have not seen
    np.testing.assert_array_equal(array(out / f"labels/training/{first}.nii.gz"), displayed(raw.bars(3)[::-1]))
    np.testing.assert_array_equal(array(out / f"images/training/{first}.nii.gz"), displayed(raw.voxels(0, low=0)[::-1]))


def test_a_task_of_several_modalities(tmp_path, capsys):
    raw.decathlon(tmp_path / "raw", ("tumour",), ("T2", "ADC"))
    assert prepare("decathlon", tmp_path / "raw", tmp_path / "out") == 0
    lists = json.loads((tmp_path / "out/datalist.json").read_text())
    assert [len(lists[part]) for part in ("training", "validation", "test")] == [2, 1, 1]
    record = json.loads((tmp_path / "out/dataset.json").read_text())
    assert (record["channels"], record["labels"]) == (["T2", "ADC"], {"0": "background", "1": "tumour"})
    for part, items in lists.items():
        for item in items:
            name = Path(item["label"]).name
            assert item["image"] == [f"images/{part}/000{channel}/{name}" for channel in (0, 1)]
            number = ("hippocampus_001", "x_2", "x_3", "x_4").index(name.removesuffix(".nii.gz"))
            for channel, path in enumerate(item["image"]):
                source = raw.voxels(10 * number + channel, low=0)
                np.testing.assert_array_equal(array(tmp_path / "out" / path), displayed(source[::-1]))
    assert main(["data", "check", str(tmp_path / "out"), "--processes=1"]) == 0
    assert prepare("decathlon", tmp_path / "raw", tmp_path / "out") == 0
    assert "nothing to do" in capsys.readouterr().out


def test_bowl_by_hand(prepared):
    out = prepared("2018 Data Science Bowl")
    first, second = KEPT["xlstm_nuclei"]
    for name in (f"training/{first}{'a' * 52}", f"validation/{second}{'a' * 52}", f"test/{'b' * 64}"):
        instances = array(out / f"instances/{name}.png")
        wanted = np.unique(raw.blobs(), return_inverse=True)[1].reshape(raw.blobs().shape)
        np.testing.assert_array_equal(instances, wanted)
        np.testing.assert_array_equal(array(out / f"labels/{name}.png"), interior_boundary(wanted, 4))
        assert array(out / f"images/{name}.png").shape == (40, 60, 3)


def test_nnunets_cells_keep_pictures_and_decode_instances(prepared):
    out = prepared("nnU-Net's Dataset703_NeurIPSCell")
    lists = json.loads((out / "datalist.json").read_text())
    assert ["instances" in item for items in lists.values() for item in items] == [False, False, True, True]
    np.testing.assert_array_equal(array(out / "instances/test/cell_00001.png"), raw.blobs())
    np.testing.assert_array_equal(array(out / "images/test/cell_00001.png"), raw.rgb(9, (40, 60)))
    decoded = array(out / f"instances/validation/{Path(lists['validation'][0]['image']).name}")
    classes = interior_boundary(raw.blobs())
    assert (decoded > 0).tolist() == (classes == 1).tolist()
    assert decoded.max() == 3  # those that touch are apart


@pytest.mark.parametrize(
    ("layout", "change", "told"),
    [
        ("BTCV raw NIfTI", lambda d: raw.nifti(d / "RawData/Training/label/label0001.nii.gz", raw.bars(15)),
         "label0001.nii.gz: labels [14] are not in the table"),
        ("BTCV raw NIfTI", lambda d: raw.nifti(d / "RawData/Training/img/img0009.nii.gz", raw.voxels(1, (6, 5, 3))),
         "the image has shape (5, 6, 3), but its label (5, 6, 4): they must be on one grid"),
        ("BTCV raw NIfTI",
         lambda d: raw.rewrite(d / "RawData/Training/label/label0009.nii.gz",
                               affine=raw.LAS @ np.diag([1, 1, 1.01, 1])),
         "by their affines the label lies up to 0.105 mm away from its image"),
        ("BTCV raw NIfTI",
         lambda d: raw.nifti(d / "RawData/Training/img/img0001.nii.gz", np.full((6, 5, 4), np.nan, np.float32)),
         "img0001.nii.gz: some voxels are NaN or infinite"),
        ("TransUNet's prepared slices",
         lambda d: np.savez(d / "train_npz/case0005_slice002.npz", image=np.zeros((6, 5)), label=np.full((6, 5), 13.0)),
         "case0005_slice002.npz: labels [13] are not in the table"),
        ("TransUNet's prepared slices",
         lambda d: np.savez(d / "train_npz/case0005_slice002.npz", image=np.ones((6, 5)) * 80, label=np.zeros((6, 5))),
         "case0005_slice002.npz: values from 80 to 80, but [0, 1] is needed"),
        ("TransUNet's prepared slices", lambda d: (d / "train_npz/case0005_slice002.npz").unlink(),
         "{d}: case 5 has 3 slices up to number 3, but not number 2"),
        ("ACDC prepared slices", lambda d: (d / "valid/case_019_sliceED_0.npz").rename(d / "case_019_sliceED_7.npz"),
         "{d}: patient 19 ED has 4 slices up to number 7, but not number 4"),
        ("ACDC prepared slices",
         lambda d: np.savez(d / "test/case_002_volume_ED.npz", x=np.zeros((4, 6, 5)), label=np.zeros((4, 6, 5))),
         "case_002_volume_ED.npz holds x, label, but img or image is needed"),
        ("ACDC prepared slices",
         lambda d: np.savez(d / "train/case_001_sliceED_0.npz", img=np.zeros((7, 5)), label=np.zeros((7, 5))),
         "are not one volume"),
        ("ACDC raw NIfTI",
         lambda d: raw.rewrite(d / "database/training/patient001/patient001_frame01.nii.gz", lambda a: a * 0 + 1),
         "patient001_frame01.nii.gz: all voxels are 1"),
        ("AMOS22", lambda d: (d / "dataset.json").unlink(), "dataset.json is missing: it names the classes"),
        ("AMOS22", lambda d: (d / "dataset.json").write_text('{"labels": {"1": "brain"}}'),
         "dataset.json: xlstm_abdomen_mri_3d has no class 'brain'; it has liver"),
        ("AMOS22", lambda d: raw.nifti(d / "labelsTr/amos_0507.nii.gz", raw.bars(18)), "labels [16, 17] are not in"),
        ("nnU-Net's Dataset702_AbdomenMR", lambda d: raw.nifti(d / "imagesTr/a_1_0001.nii.gz", raw.voxels(1)),
         "a_1_0001.nii.gz: each image must be one file"),
        ("nnU-Net's Dataset702_AbdomenMR", lambda d: (d / "dataset.json").write_text('{"labels": {"liver": [1, 2]}}'),
         "dataset.json: \"regions_class_order\" is missing, but a list of labels is needed"),
        ("EndoVis 2017 frames",
         lambda d: raw.png(d / "train/instrument_dataset_1/ground_truth/Hook_labels/frame000.png", raw.rgb(1)),
         "Hook_labels: the name has none of the instruments monopolar"),
        ("EndoVis 2017 frames",
         lambda d: (d / "train/instrument_dataset_2/ground_truth/Other_labels/frame001.png").unlink(),
         "instrument_dataset_2/ground_truth/Other_labels/frame001.png is missing, though other frames have a mask"),
        ("EndoVis 2017 frames",
         lambda d: raw.png(d / "gt/instrument_dataset_1/gt/TypeSegmentation/frame225.png", raw.bars(9, (12, 20))),
         "TypeSegmentation/frame225.png: labels [8] are not in the table"),
        ("NeurIPS 2022 cell segmentation challenge",
         lambda d: raw.png(d / "Tuning/labels/cell_00001_label.tiff", raw.blobs((40, 59))),
         "the image has shape (40, 60, 3), but its label (40, 59)"),
        ("NeurIPS 2022 cell segmentation challenge",
         lambda d: raw.png(d / "Training-labeled/images/cell_00001.tif", raw.rgb(1, (40, 60))),
         "are the same case: point --source to one of them"),
        ("NeurIPS 2022 cell segmentation challenge",
         lambda d: raw.png(d / "Tuning/labels/cell_00001_label.tiff", raw.rgb(1, (40, 60))),
         "the label has shape (40, 60, 3), but a map of numbers with two axes is needed"),
        ("the Decathlon's Task04_Hippocampus", lambda d: (d / "dataset.json").unlink(),
         "dataset.json is missing: it names the classes"),
        ("the Decathlon's Task04_Hippocampus",
         lambda d: raw.rewrite(d / "labelsTr/x_2.nii.gz", lambda a: a * 0 + 3),
         "x_2.nii.gz: labels [3] are not in the table"),
        ("2018 Data Science Bowl",
         lambda d: raw.png(d / f"stage1_train/{'b' * 64}/masks/z.png", raw.bars(2, (40, 59))),
         "the image has shape (40, 60, 3), but its label (40, 59)"),
        ("2018 Data Science Bowl", lambda d: (d / f"stage1_train/{'b' * 64}/images/{'b' * 64}.png").unlink(),
         "has no picture"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_wrong_data_are_refused_by_name(layout, change, told, tmp_path, capsys):
    bundle, source = made(layout, tmp_path / "raw")
    change(source)
    assert prepare(bundle, source, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert told.format(d=source) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("bundle", CLASSES)
def test_unknown_layout_lists_what_was_looked_for(bundle, tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/readme.txt").write_text("nothing")
    assert prepare(bundle, tmp_path / "raw", tmp_path / "out") == 2
    told = capsys.readouterr().err
    for layout in (name for name, (its, _, _) in LAYOUTS.items() if its == bundle):
        assert f"{layout}: " in told
    assert not (tmp_path / "out").exists()


def test_two_layouts_are_one_too_many(tmp_path, capsys):
    raw.acdc_raw(tmp_path / "raw")
    raw.acdc_prepared(tmp_path / "raw")
    assert prepare("msvm_acdc", tmp_path / "raw", tmp_path / "out") == 2
    assert "has ACDC raw NIfTI and ACDC prepared slices: point --source" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["msvm_synaps", "--source", "x", "--out", "y"], "unknown bundle 'msvm_synaps', did you mean 'msvm_synapse'?"),
        (["msvm_acdc", "--source", "nowhere", "--out", "y"], "--source nowhere is not a folder"),
        (["msvm_acdc", "--source", ".", "--out", "y", "--processes", "0"], "--processes needs a whole number from 1"),
        (["msvm_acdc", "--source", "."], "missing --out"),
        (["--source", ".", "--out", "y"], "missing --name"),
    ],
)
def test_bad_usage_is_told(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "prepare", *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def interrupted(bundle, source, out, after):
    """Run it in a process of its own, which is interrupted while it writes the file after so many."""
    code = (
        "import sys, itertools, scripts.data.output as o; from scripts.cli import main\n"
        "count, save = itertools.count(), o.write_nifti\n"
        "def cut(path, *rest):\n"
        "    save(path, *rest)\n"
        f"    if next(count) == {after}: path.write_bytes(path.read_bytes()[:20]); raise KeyboardInterrupt\n"
        "o.write_nifti = cut\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["data", "prepare", bundle, "--source", source, "--out", out, "--processes", "1"]
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, cwd=ROOT)


def test_interrupted_run_goes_on_where_it_stopped(tmp_path, capsys):
    raw.synapse_raw(tmp_path / "raw")
    out = tmp_path / "out"
    done = interrupted(
        "msvm_synapse", tmp_path / "raw", out, after=7
    )  # in the second case, after two of its four slices
    assert done.returncode == 130, done.stderr
    files = list(out.rglob("*.nii.gz"))
    assert files
    assert not list(out.rglob(".partial.*"))
    for path in files:
        nib.load(path).get_fdata()
    assert not (out / "dataset.json").exists()
    assert not (out / "datalist.json").exists()
    (out / "images/training/.partial.killed.nii.gz").write_bytes(b"what kill -9 leaves behind")
    before = {path: path.stat().st_mtime_ns for path in files if path.name == "case0001.nii.gz"}
    assert len(before) == 2

    assert prepare("msvm_synapse", tmp_path / "raw", out) == 0
    assert "1 of 3 cases are already done" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "at once") == 0
    assert content(out) == content(tmp_path / "at once")


def test_begun_folder_belongs_to_its_source(tmp_path, capsys):
    raw.synapse_raw(tmp_path / "raw")
    raw.synapse_raw(tmp_path / "other")
    assert interrupted("msvm_synapse", tmp_path / "raw", tmp_path / "out", after=3).returncode == 130
    assert prepare("msvm_synapse", tmp_path / "other", tmp_path / "out") == 2
    assert f"was started from {tmp_path / 'raw'}" in capsys.readouterr().err


def test_finished_folder_is_left_alone(tmp_path, capsys):
    raw.synapse_raw(tmp_path / "raw")
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out") == 0
    before = content(tmp_path / "out")
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out") == 0
    assert "already holds this data set; nothing to do" in capsys.readouterr().out
    assert content(tmp_path / "out") == before
    raw.synapse_raw(tmp_path / "raw", cases=(2,))
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out") == 2
    assert "made from 3 cases, but now there are 4" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("precious")
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "mine") == 2
    assert "not empty: choose another folder" in capsys.readouterr().err
    assert content(tmp_path / "mine") == {"notes.txt": b"precious"}


def test_several_processes_make_the_same_bytes(run, tmp_path):
    raw.acdc_raw(tmp_path / "raw")
    done = run(
        "data", "prepare", "msvm_acdc", "--source", tmp_path / "raw", "--out", tmp_path / "two", "--processes", 2
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where there is no terminal
    assert prepare("msvm_acdc", tmp_path / "raw", tmp_path / "one") == 0
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_error_in_another_process_is_told_in_one_line(run, tmp_path):
    raw.acdc_raw(tmp_path / "raw")
    damaged = tmp_path / "raw/database/training/patient001/patient001_frame12.nii.gz"
    damaged.write_bytes(b"no gzip")
    done = run("data", "prepare", "msvm_acdc", "--source", tmp_path / "raw", "--out", tmp_path / "out", "--processes=2")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(damaged) in done.stderr


def test_missing_h5py_is_told_with_the_remedy(tmp_path, capsys, monkeypatch):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/case0001.npy.h5").write_bytes(b"\x89HDF\r\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert prepare("msvm_synapse", tmp_path / "raw", tmp_path / "out") == 2
    assert "case0001.npy.h5 is an HDF5 file, which needs h5py: pip install h5py" in capsys.readouterr().err


def test_deep_colours_are_read_in_full(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    deep = np.random.default_rng(0).integers(0, 900, (7, 9, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.tif"), deep)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UserError, match=r"deep.tif: it is a TIFF, which needs tifffile: pip install"):
        read_picture(tmp_path / "deep.tif")


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "RGB"])
def test_pictures_of_any_mode_are_grey_or_rgb(mode, tmp_path):
    Image.fromarray(raw.rgb(3)).convert(mode).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.shape == ((12, 20) if mode in ("L", "1", "LA") else (12, 20, 3))
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("count", [2, 5, 8, 60, 1000])
def test_a_fifth_is_held_out_evenly(count):
    names = [f"case{number}" for number in range(count)]
    places = sorted(names.index(name) for name in held_out(names))
    assert len(places) == max(1, round(count / 5))
    gaps = np.diff(places)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_one_case_cannot_be_divided():
    with pytest.raises(UserError, match="1 training case is not enough"):
        held_out(["a"])
