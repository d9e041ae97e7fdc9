"""A bundle for a user's data runs like those of the repository, in a folder outside of it."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import user_data as data
from monai.bundle import ConfigWorkflow, verify_metadata, verify_net_in_out
from PIL import Image
from raw_data import nifti

from components.data import split_items
from scripts.data.check import check
from scripts.errors import UserError
from scripts.new.command import new
from tests import processes
from tests.bundles.workflow import ROOT, checked, runner
from tests.folders import folder

KINDS = {
    "volumes": ("heart", "xlstm_endoscopy", lambda root: data.raw_volumes(root)),
    "pictures": ("polyps", "xlstm_endoscopy", lambda root: data.pair_of_pictures(root)),
    "slices": ("organs", "msvm_acdc", lambda root: data.raw_volumes(root, channels=("CT",), training=5, test=0)),
    "grey_pictures": ("lesions", "msvm_synapse", lambda root: data.pair_of_pictures(root, grey=True)),
    "instances": ("nuclei", "xlstm_cells", lambda root: data.pair_of_pictures(root)),
}
TINY = {"slices": {"roi_size": "[32, 32]"}, "grey_pictures": {"roi_size": "[32, 32]"}}
CONFIGS = {"train.json", "evaluate.json", "inference.json", "multi_gpu_train.json", "metadata.json", "logging.conf"}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=pytest.mark.xdist_group(f"new {kind}")) for kind in KINDS]
)
def made(request, tmp_path_factory):
    """A kind of data and the bundle that was made for it."""
    with folder(tmp_path_factory, request.param) as work:
        name, base, make = KINDS[request.param]
        make(work / "raw")
        new(name, base, str(work / "raw"), str(work / "bundles"), memory=4, processes=1)
        yield request.param, work / "bundles" / name


def run(bundle, run_id, config, **overrides):
    settings = {
        "bundle_root": bundle,
        "config_file": bundle / "configs" / f"{config}.json",
        "dataset_dir": bundle / "data",
        "output_dir": bundle / "output",
        "num_workers": 0,
        **overrides,
    }
    return checked(processes.run(runner(run_id, settings), bundle.parent))


def classes(bundle):
    return json.loads((bundle / "configs/train.json").read_text())["class_names"]


def test_files(made):
    _, bundle = made
    assert {path.name for path in (bundle / "configs").iterdir()} >= CONFIGS
    assert (bundle / "LICENSE").is_file()
    assert "state here" in (bundle / "docs/data_license.txt").read_text()
    text = (bundle / "docs/README.md").read_text()
    assert text.startswith(f"# {bundle.name}: ")
    assert all(name in text for name in classes(bundle))
    assert f"--bundle_root {bundle}" in text
    assert not [path for path in bundle.parent.iterdir() if path.name.startswith(".")]


def test_checks_of_a_model_zoo(made):
    _, bundle = made
    metadata = bundle / "configs" / "metadata.json"
    verify_metadata(meta_file=str(metadata), filepath=str(ROOT / "scripts/zoo/meta_schema_20240725.json"))
    content = json.loads(metadata.read_text())
    assert content["version"] in content["changelog"]
    channels = content["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values()) == ["background", *classes(bundle)]
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(metadata),
        config_file=str(bundle / "configs/inference.json"),
        device="cpu",
        n=2,
        any=32,
        bundle_root=str(bundle),
    )
    for config, kind in (("train", "train"), ("inference", "infer"), ("evaluate", None)):
        workflow = ConfigWorkflow(
            config_file=str(bundle / "configs" / f"{config}.json"),
            meta_file=str(metadata),
            logging_file=None,
            workflow_type=kind,
            bundle_root=str(bundle),
            device="$torch.device('cpu')",
        )
        workflow.initialize()
        assert not workflow.check_properties()


def test_dataset_dir(made):
    kind, bundle = made
    lists = json.loads((bundle / "data/datalist.json").read_text())
    record = json.loads((bundle / "data/dataset.json").read_text())
    assert record["bundle"] == bundle.name
    assert list(record["labels"].values()) == ["background", *classes(bundle)]
    assert record["number"] == {part: len(items) for part, items in lists.items()}
    assert all(lists.values())
    for items in lists.values():
        for item in items:
            images = item["image"] if isinstance(item["image"], list) else [item["image"]]
            assert all((bundle / "data" / path).is_file() for path in (*images, item["label"]))
            assert (bundle / "data" / images[0]).is_symlink() == (kind in ("volumes", "pictures", "instances")) or (
                kind == "slices" and "training" not in images[0]
            )
    if kind == "slices":
        shapes = {nib.load(bundle / "data" / item["image"]).shape for item in lists["training"]}
        assert shapes == {(*data.SHAPE[1::-1], 1)}
        assert len(lists["training"]) == 3 * data.SHAPE[2]
    if kind == "volumes":
        assert [len(item["image"]) for item in lists["training"]] == [2] * len(lists["training"])


def test_training_evaluation_and_inference(made):
    kind, bundle = made
    if kind == "instances":
        pytest.skip("runs as xlstm_cells does, which tests/bundles trains")
    training = {"max_epochs": 1, "epoch_length": 2, "val_interval": 1, "batch_size": 2}
    run(bundle, "training", "train", **training, **TINY.get(kind, {}))
    assert (bundle / "models" / "model.pt").is_file()
    run(bundle, "evaluating", "evaluate", **TINY.get(kind, {}))
    run(bundle, "inferring", "inference", **TINY.get(kind, {}))

    (item,) = json.loads((bundle / "data/datalist.json").read_text())["test"]
    with (bundle / "output/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == classes(bundle)
    first = item["image"][0] if isinstance(item["image"], list) else item["image"]
    image = bundle / "data" / first
    name = image.name.partition(".")[0]
    assert {row["case"] for row in rows} == {name}
    if image.name.endswith(".nii.gz"):
        labels, original = nib.load(bundle / f"output/predictions/{name}_pred.nii.gz"), nib.load(image)
        np.testing.assert_allclose(labels.affine, original.affine, atol=1e-5)
        assert labels.shape == original.shape
        values = np.asarray(labels.dataobj)
    else:
        values = np.asarray(Image.open(bundle / f"output/predictions/{name}_pred.png"))
        assert values.shape == np.asarray(Image.open(image)).shape[:2]
    assert values.max() <= len(classes(bundle))


def test_slices_of_mr_have_the_range_of_their_volume(tmp_path):
    root = data.raw_volumes(tmp_path / "raw", channels=("MR",), training=4, test=0)
    new("heart", "msvm_acdc", str(root), str(tmp_path), memory=4, processes=1)
    items = json.loads((tmp_path / "heart/data/datalist.json").read_text())["training"]
    volumes = {}
    for item in items:
        name = item["image"].rpartition("/")[2].partition("_slice")[0]
        volumes.setdefault(name, []).append(nib.load(tmp_path / "heart/data" / item["image"]).get_fdata())
    for name, slices in volumes.items():
        assert (np.min(slices), np.max(slices)) == (0, 1)
        raw = nib.load(root / f"imagesTr/{name}_0000.nii.gz").get_fdata()
        scaled = (raw - raw.min()) / (raw.max() - raw.min())
        # The file is L × P × S, a slice is P × L.
        np.testing.assert_allclose(np.concatenate(slices, axis=2), scaled.transpose(1, 0, 2), atol=1e-6)


def test_a_dataset_dir_is_used_where_it_lies(ct_sample, tmp_path, capsys):
    before = sorted(path.name for path in ct_sample.rglob("*"))
    new("organs", "msvm_synapse", str(ct_sample), str(tmp_path), memory=4, processes=1)
    assert not (tmp_path / "organs/data").exists()
    assert f"--dataset_dir {ct_sample}" in capsys.readouterr().out
    assert sorted(path.name for path in ct_sample.rglob("*")) == before
    assert classes(tmp_path / "organs")[0] == "aorta"


def test_stored_slices_that_are_not_scaled_are_refused(ct_sample, tmp_path):
    with pytest.raises(UserError, match=r"slices for MSVM-UNet have to be scaled to 0 … 1"):
        new("organs", "msvm_synapse", str(ct_sample), str(tmp_path / "out"), memory=4, modality="MR", processes=1)
    assert not (tmp_path / "out").exists()


def test_labels_and_formats_are_converted_where_needed(tmp_path):
    root = data.raw_volumes(tmp_path / "raw", channels=("MR",), training=4, test=0)
    for path in (root / "labelsTr").iterdir():
        data.rewrite(path, lambda array: np.choose(array, [0, 3, 7]).astype(np.int16))
    content = json.loads((root / "dataset.json").read_text())
    content["labels"] = {"background": 0, "liver": 3, "tumour": 7}
    (root / "dataset.json").write_text(json.dumps(content))
    new("heart", "xlstm_abdomen_mri_3d", str(root), str(tmp_path), memory=4, processes=1)
    items = json.loads((tmp_path / "heart/data/datalist.json").read_text())
    assert classes(tmp_path / "heart") == ["liver", "tumour"]
    for item in (item for part in items.values() for item in part):
        label = nib.load(tmp_path / "heart/data" / item["label"])
        source = nib.load(root / "labelsTr" / item["label"].rpartition("/")[2])
        np.testing.assert_array_equal(label.get_fdata(), np.searchsorted([0, 3, 7], source.get_fdata()))
        np.testing.assert_allclose(label.affine, source.affine, atol=1e-6)


def test_folds_of_slices_are_validated_on_their_volumes(tmp_path):
    root = data.raw_volumes(tmp_path / "raw", channels=("CT",), training=4, test=1)
    new("organs", "msvm_acdc", str(root), str(tmp_path), memory=4, processes=1, folds=2)
    lists = json.loads((tmp_path / "organs/data/datalist.json").read_text())
    assert [len(lists[part]) for part in ("training", "validation", "test")] == [4 * data.SHAPE[2], 4, 1]
    seen, held_out = (
        {
            item["image"].rpartition("/")[2].partition(end)[0]
            for item in split_items(str(tmp_path / "organs/data"), split, 0)
        }
        for split, end in (("training", "_slice"), ("test", "."))
    )
    assert seen | held_out == {"c0", "c1", "c2", "c3"}
    assert len(seen) == len(held_out) == 2
    assert check(str(tmp_path / "organs/data"), processes=1) == 0  # the volumes are no leak
    readme = (tmp_path / "organs/docs/README.md").read_text()
    assert "--folds all" in readme
    assert "--nnunet_names" in readme  # the images of the raw folder are CASE_0000
    assert "models/fold_0" in readme


def test_the_lists_of_a_dataset_dir_become_folds(tmp_path):
    root = data.raw_volumes(tmp_path / "raw", channels=("MR",), training=5, test=1)
    new("first", "xlstm_abdomen_mri_3d", str(root), str(tmp_path), memory=4, processes=1)
    ready = tmp_path / "first/data"
    before = (ready / "datalist.json").read_text()
    new("second", "xlstm_abdomen_mri_3d", str(ready), str(tmp_path), memory=4, processes=1, folds=5)
    lists = json.loads((tmp_path / "second/data/datalist.json").read_text())
    assert sorted(item["fold"] for item in lists["training"]) == [0, 1, 2, 3, 4]
    assert [len(lists[part]) for part in ("validation", "test")] == [0, 1]
    assert (ready / "datalist.json").read_text() == before
    assert check(str(tmp_path / "second/data"), processes=1) == 0
    new("third", "xlstm_abdomen_mri_3d", str(tmp_path / "second/data"), str(tmp_path), memory=4, processes=1)
    assert not (tmp_path / "third/data").exists()  # folds that are there are kept


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my-bundle", "letters, digits and underscores are allowed"),
        ("2d", "and a letter first"),
        ("heart_v2", "MONAI takes what follows '_v' for a version"),
        ("msvm_acdc", "is a bundle of scanseg: choose another name"),
        ("../x", "cannot be the name of a bundle"),
    ],
)
def test_names(name, told, tmp_path):
    with pytest.raises(UserError, match=told):
        new(name, "msvm_acdc", str(tmp_path), str(tmp_path))


def test_a_bundle_that_exists_is_kept(tmp_path, capsys):
    root = data.pair_of_pictures(tmp_path / "raw", count=4)
    arguments = ("polyps", "xlstm_endoscopy", str(root), str(tmp_path))
    new(*arguments, memory=4, processes=1)
    (tmp_path / "polyps/models").mkdir()
    (tmp_path / "polyps/models/model.pt").write_text("weights")
    with pytest.raises(UserError, match="polyps exists: choose another name, or rename the old one with --force"):
        new(*arguments, memory=4, processes=1)
    new(*arguments, memory=4, processes=1, force=True)
    assert (tmp_path / "polyps.old1/models/model.pt").read_text() == "weights"
    assert not (tmp_path / "polyps/models").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["polyps", "polyps.old1", "raw"]
    assert "was renamed to" in capsys.readouterr().out


def test_nothing_is_left_where_writing_fails(tmp_path, monkeypatch):
    root = data.pair_of_pictures(tmp_path / "raw", count=4)

    def fails(job):
        raise OSError(28, "No space left on device", str(job.folder))

    monkeypatch.setattr("scripts.new.datafolder.enter", fails)
    with pytest.raises(OSError, match="No space left"):
        new("polyps", "xlstm_endoscopy", str(root), str(tmp_path), memory=4, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_damaged_data_make_no_bundle(tmp_path):
    root = data.raw_volumes(tmp_path / "raw", training=4, test=0)
    nifti(root / "labelsTr/c1.nii.gz", np.zeros((3, 3, 3), np.uint8), data.AFFINE)
    with pytest.raises(UserError, match=r"c1.nii.gz has shape"):
        new("heart", "xlstm_abdomen_mri_3d", str(root), str(tmp_path / "out"), memory=4, processes=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("labels", "told"),
    [({"background": 0, "cell": 100}, "learns the interior and boundary of objects, but .* names classes")],
)
def test_classes_are_not_instances(tmp_path, labels, told):
    root = data.pair_of_pictures(tmp_path / "raw", count=4)
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(UserError, match=told):
        new("nuclei", "xlstm_cells", str(root), str(tmp_path), memory=4, processes=1)


def test_pictures_of_sixteen_bits_are_stretched(tmp_path):
    root = data.pair_of_pictures(tmp_path / "raw", count=4)
    for path in (root / "images").iterdir():
        data.redraw(path, lambda array: array[..., 0].astype(np.uint16) * 200)
    new("polyps", "xlstm_endoscopy", str(root), str(tmp_path), memory=4, processes=1)
    (item,) = json.loads((tmp_path / "polyps/data/datalist.json").read_text())["test"]
    picture = np.asarray(Image.open(tmp_path / "polyps/data" / item["image"]))
    assert picture.dtype == np.uint8
    assert picture.shape == (40, 56, 3)
    assert picture.max() == 255


@pytest.mark.parametrize("processes", [1, 2])
def test_the_same_data_give_the_same_bundle(tmp_path, processes):
    root = data.pair_of_pictures(tmp_path / "raw", count=6)
    new("polyps", "xlstm_endoscopy", str(root), str(tmp_path / "a"), memory=4, processes=1)
    new("polyps", "xlstm_endoscopy", str(root), str(tmp_path / "b"), memory=4, processes=processes)
    for name in ("configs/train.json", "data/datalist.json", "data/dataset.json"):
        assert (tmp_path / "a/polyps" / name).read_text() == (tmp_path / "b/polyps" / name).read_text()
