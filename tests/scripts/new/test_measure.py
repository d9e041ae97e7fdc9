"""What is measured in a user's data, and each damage that is refused."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import user_data as data
from PIL import Image
from raw_data import nifti, png

from scripts.errors import UserError
from scripts.new.measure import measure
from scripts.new.own_data import find_sources
from scripts.new.summary import summarise


def measured(root, test=(), modality="", instances=False):
    sources = find_sources(Path(root))
    found = measure(sources, 1, instances)
    return sources, found, summarise(sources, found, test, modality)


def test_volumes(tmp_path):
    data.raw_volumes(tmp_path / "raw", channels=("CT",), training=3, test=1)
    sources, found, summary = measured(tmp_path / "raw", test=["c3"])
    assert sources.layout == "nnU-Net's raw layout"
    assert (summary.spatial_dims, summary.cases, summary.modality) == (3, 4, "CT")
    assert summary.classes == ("background", "liver", "tumour")
    # 28 × 24 × 10 voxels of 1.2 × 1.2 × 3 mm in the order left, posterior, superior: now superior, posterior, left.
    assert summary.shapes == ((10, 24, 28),) * 3
    assert summary.spacings[0] == pytest.approx((3.0, 1.2, 1.2))
    assert summary.orientations == {"LPS": 4}
    labels = [nib.load(path).get_fdata() for path in sorted((tmp_path / "raw").glob("labelsT*/*.nii.gz"))]
    for number, name in ((1, "liver"), (2, "tumour")):
        voxels = sum(int((label == number).sum()) for label in labels)
        assert summary.counts[name] == (4, voxels)
    foreground = np.concatenate(
        [
            nib.load(tmp_path / f"raw/imagesTr/c{n}_0000.nii.gz").get_fdata()[
                nib.load(tmp_path / f"raw/labelsTr/c{n}.nii.gz").get_fdata() > 0
            ]
            for n in range(3)
        ]
    )
    low, high = np.percentile(foreground, [0.5, 99.5])
    seen = summary.intensities
    assert (seen.low, seen.high) == pytest.approx((low, high))
    assert (seen.mean, seen.sd) == pytest.approx((foreground.mean(), foreground.std()))
    assert found.table == {0: 0, 1: 1, 2: 2}


def test_the_orientation_of_the_file_does_not_matter(tmp_path):
    data.raw_volumes(tmp_path / "a", channels=("MR",), training=3, test=0)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in (tmp_path / "b").glob("*Tr/*.nii.gz"):
        image = nib.load(path)
        nib.save(image.as_reoriented(nib.orientations.axcodes2ornt(("S", "R", "A"))), path)
    (_, _, one), (_, _, other) = measured(tmp_path / "a"), measured(tmp_path / "b")
    assert one.shapes == other.shapes
    np.testing.assert_allclose(one.spacings, other.spacings)
    assert one.intensities == other.intensities
    assert one.orientations != other.orientations


def test_margins(tmp_path):
    data.raw_volumes(tmp_path / "raw", channels=("MR",), training=3, test=0)
    for path in (tmp_path / "raw/imagesTr").iterdir():
        data.rewrite(path, lambda array: np.pad(array[4:-4], ((4, 4), (0, 0), (0, 0))))
    for path in (tmp_path / "raw/labelsTr").iterdir():
        data.rewrite(path, lambda array: np.pad(array[4:-4], ((4, 4), (0, 0), (0, 0))))
    summary = measured(tmp_path / "raw")[2]
    assert summary.shapes == ((10, 24, 20),) * 3
    assert summary.kept == pytest.approx(20 / 28)


def test_pictures_with_numbered_classes(tmp_path):
    data.pair_of_pictures(tmp_path / "raw", count=4, shape=(30, 50))
    sources, found, summary = measured(tmp_path / "raw", modality="endoscopy")
    assert sources.layout == "a pair of folders"
    assert found.table == {0: 0, 100: 1, 200: 2}
    assert summary.classes == ("background", "class 1", "class 2")
    assert summary.channels == ("red", "green", "blue")
    assert summary.modality == "endoscopy"
    assert summary.shapes == ((30, 50),) * 4


def test_pictures_with_named_classes_and_a_palette(tmp_path):
    data.pair_of_pictures(tmp_path / "raw", count=3, factor=1)
    (tmp_path / "raw/dataset.json").write_text(json.dumps({"labels": {"background": 0, "polyp": 1, "tool": 2}}))
    for path in (tmp_path / "raw/labels").iterdir():
        picture = Image.fromarray(np.array(Image.open(path)), mode="L").convert("P")
        picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [7] * 759)
        picture.putdata(list(np.array(Image.open(path)).ravel()))
        picture.save(path)
        assert Image.open(path).mode == "P"
    assert measured(tmp_path / "raw")[2].classes == ("background", "polyp", "tool")


def test_instances_are_two_classes(tmp_path):
    data.pair_of_pictures(tmp_path / "raw", count=3, factor=100)
    summary = measured(tmp_path / "raw", instances=True)[2]
    assert summary.classes == ("background", "interior", "boundary")
    assert summary.counts == {}


def test_formats_of_itk(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    data.raw_volumes(tmp_path / "raw", channels=("MR",), training=3, test=0)
    for folder in ("imagesTr", "labelsTr"):
        for path in list((tmp_path / "raw" / folder).iterdir()):
            image = sitk.ReadImage(str(path))
            target = tmp_path / "itk" / folder.replace("Tr", "") / path.name.replace("_0000", "")
            target.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(target).replace(".nii.gz", ".nrrd"))
    ours, theirs = measured(tmp_path / "itk")[2], measured(tmp_path / "raw")[2]
    assert ours.shapes == theirs.shapes
    np.testing.assert_allclose(ours.spacings, theirs.spacings, rtol=1e-6)
    assert ours.orientations == theirs.orientations
    assert ours.intensities == theirs.intensities


def test_dataset_dir(ct_sample):
    sources, found, summary = measured(ct_sample)
    assert sources.ready
    assert summary.modality == "CT"
    assert summary.classes[1] == "aorta"
    assert found.table == {number: number for number in range(9)}


MOVED = 2.5 * np.eye(4, k=3)


def names(change):
    def how(root):
        path = root / "dataset.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return how


def any_ending(root):
    """Let dataset.json not say which files are images."""
    content = json.loads((root / "dataset.json").read_text())
    del content["file_ending"]
    (root / "dataset.json").write_text(json.dumps(content))


DAMAGED_VOLUMES = [
    (lambda d: data.rewrite(d / "labelsTr/c1.nii.gz", lambda a: a[:-1]),
     r"labelsTr/c1.nii.gz has shape \(27, 24, 10\), but c1_0000.nii.gz has \(28, 24, 10\)"),
    (lambda d: data.rewrite(d / "labelsTr/c1.nii.gz", affine=data.AFFINE + MOVED),
     r"labelsTr/c1.nii.gz has a different affine from c1_0000.nii.gz: they differ by up to 2.5 mm"),
    (lambda d: data.rewrite(d / "imagesTr/c1_0001.nii.gz", lambda a: a[:, 1:]),
     r"imagesTr/c1_0001.nii.gz has shape \(28, 23, 10\), but c1_0000.nii.gz"),
    (lambda d: (d / "imagesTr/c1_0000.nii.gz").write_bytes(b"nonsense"), r"imagesTr/c1_0000.nii.gz"),
    (lambda d: (d / "labelsTr/c1.nii.gz").write_bytes((d / "labelsTr/c1.nii.gz").read_bytes()[:-20]),
     r"labelsTr/c1.nii.gz: Compressed file ended"),
    (lambda d: data.rewrite(d / "labelsTr/c1.nii.gz", lambda a: a * 4),
     r"labelsTr/c1.nii.gz: has the labels 4, 8, but dataset.json names 0 background, 1 liver, 2 tumour"),
    (lambda d: data.rewrite(d / "labelsTr/c1.nii.gz", lambda a: a * np.float32(0.5)),
     r"labelsTr/c1.nii.gz: has the value 0.5, but class numbers must be whole"),
    (lambda d: (d / "labelsTr/c1.nii.gz").unlink(), r"imagesTr/c1_0000.nii.gz has no label: put c1 into"),
    (lambda d: [path.unlink() for path in d.glob("imagesTr/c1_*")], r"labelsTr/c1.nii.gz has no image"),
    (lambda d: (d / "imagesTr/c1_0001.nii.gz").unlink(), r"c1 has another number of channels than c0 \(1, not 2\)"),
    (lambda d: (d / "imagesTr/c1_0000.nii.gz").unlink(), r"c1 has no file of the channel _0000"),
    (lambda d: [shutil.copy(d / f"imagesTr/c{n}_0000.nii.gz", d / f"imagesTr/c{n}_0002.nii.gz") for n in range(3)],
     r"c0 has 3 files, but dataset.json names 2 channels"),
    (lambda d: data.rewrite(d / "imagesTr/c1_0000.nii.gz", lambda a: np.where(a > 400, np.nan, a).astype(np.float32)),
     r"imagesTr/c1_0000.nii.gz: has \d+ voxels that are NaN or infinite"),
    (lambda d: data.rewrite(d / "imagesTr/c1_0000.nii.gz", lambda a: a[..., None].repeat(2, -1)),
     r"imagesTr/c1_0000.nii.gz: has 4 axes .*, but 3 are needed, with each channel in a separate file"),
    (lambda d: [data.rewrite(p, np.zeros_like) for p in d.glob("imagesTr/c1_*")],
     r"c1_0000.nii.gz: is 0 in all its voxels"),
    (lambda d: (any_ending(d), png(d / "imagesTr/c9_0000.png", np.zeros((4, 4), np.uint8)),
                png(d / "imagesTr/c9_0001.png", np.zeros((4, 4), np.uint8)),
                png(d / "labelsTr/c9.png", np.zeros((4, 4), np.uint8))), r"c9_0000.png is a picture, but .* a volume"),
    (lambda d: (any_ending(d), nifti(d / "imagesTr/c1_0000.nii", np.ones(data.SHAPE))),
     r"are the same case: keep one of them"),
    (names(lambda c: c["labels"].update(ignore=1)), r"the label 'ignore' is 1, but one number above all others"),
    (names(lambda c: c["labels"].update(whole=[1, 2])), r'"regions_class_order" is missing, but a list of labels'),
    (names(lambda c: c.pop("labels")), r'dataset.json: "labels" is None'),
    (lambda d: (d / "dataset.json").unlink(), r"dataset.json is missing: it names the classes"),
    (lambda d: (d / "dataset.json").write_text("{"), r"dataset.json is not valid JSON"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    data.raw_volumes(folder / "volumes", training=3, test=0)
    data.pair_of_pictures(folder / "pictures", count=3)
    return folder


@pytest.mark.parametrize(("how", "told"), DAMAGED_VOLUMES)
def test_damaged_volumes_are_refused(sound, tmp_path, how, told):
    shutil.copytree(sound / "volumes", tmp_path / "raw")
    how(tmp_path / "raw")
    with pytest.raises((UserError, ValueError), match=told):
        measured(tmp_path / "raw")


def redrawn(name, change):
    return lambda d: data.redraw(d / name, change)


DAMAGED_PICTURES = [
    (redrawn("labels/p1.png", lambda a: a[:-1]), r"labels/p1.png has shape \(39, 56\), but p1.png has \(40, 56, 3\)"),
    (redrawn("images/p1.png", lambda a: a[..., 0]), r"images/p1.png: has 1 channels, but .*images/p0.png has 3"),
    (redrawn("labels/p1.png", lambda a: a[..., None].repeat(3, -1)), r"labels/p1.png: is a colour picture"),
    (lambda d: (d / "images/p1.png").write_bytes((d / "images/p1.png").read_bytes()[:200]), r"images/p1.png"),
    (lambda d: (d / "labels/p1.png").unlink(), r"images/p1.png has no label"),
    (lambda d: (d / "labels/p1.png").rename(d / "labels/p1.jpg"), r"labels/p1.jpg: JPEG changes the numbers"),
    (lambda d: (nifti(d / "images/v.nii.gz", np.ones((4, 4, 4))), nifti(d / "labels/v.nii.gz", np.ones((4, 4, 4)))),
     r"images/v.nii.gz is a volume, but .*p0.png is a picture: do not mix them"),
    (lambda d: [data.redraw(p, np.zeros_like) for p in d.glob("labels/*")], r"hold only background"),
    (redrawn("labels/p1.png", lambda a: np.arange(a.size, dtype=np.uint16).reshape(a.shape)),
     r"labels/p1.png: has 2240 different values, which cannot be classes"),
    (lambda d: [data.redraw(d / f"labels/p{n}.png", lambda a, n=n: (np.arange(a.size).reshape(a.shape) % 200
                                                                    + 200 * n).astype(np.uint16)) for n in range(3)],
     r"the label maps have 599 different values, at most 255 classes are possible"),
    (lambda d: shutil.rmtree(d / "labels"), r"has no data set in a known layout: wanted is nnU-Net's raw layout"),
    (lambda d: [p.unlink() for p in d.glob("*/*")], r"has no images in a known format"),
]  # fmt: skip


@pytest.mark.parametrize(("how", "told"), DAMAGED_PICTURES)
def test_damaged_pictures_are_refused(sound, tmp_path, how, told):
    shutil.copytree(sound / "pictures", tmp_path / "raw")
    how(tmp_path / "raw")
    with pytest.raises(UserError, match=told):
        measured(tmp_path / "raw")


def test_all_faults_are_listed(sound, tmp_path, capsys):
    shutil.copytree(sound / "pictures", tmp_path / "raw")
    for number in range(3):
        data.redraw(tmp_path / f"raw/labels/p{number}.png", lambda a: a[:-1])
    with pytest.raises(UserError, match=r"p0.png has shape .*; 2 more faults in the 3 cases are listed above"):
        measured(tmp_path / "raw")
    assert capsys.readouterr().out.count("has shape (39, 56)") == 3


def test_a_tiff_of_several_pages_is_refused(sound, tmp_path):
    shutil.copytree(sound / "pictures", tmp_path / "raw")
    path = tmp_path / "raw/images/p1.png"
    picture = Image.open(path)
    path.unlink()
    picture.save(path.with_suffix(".tif"), save_all=True, append_images=[picture])
    with pytest.raises(UserError, match=r"p1.tif: it has 2 pages"):
        measured(tmp_path / "raw")


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        find_sources(tmp_path / "nowhere")
