"""``new --configuration``: the networks that nnU-Net plans for volumes, from one measurement."""

import json
import warnings

import pytest
import torch
import user_data as data
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from scripts.cli import main
from scripts.errors import UserError
from scripts.new.command import new


def test_all_that_nnunet_would_plan_are_made_with_the_same_data(tmp_path, capsys):
    raw = data.raw_volumes(tmp_path / "raw")
    words = [f"--data={raw}", f"--out={tmp_path}", "--processes=1", "--folds=2", "--from=xlstm_abdomen_mri_3d"]
    assert main(["new", "organs", *words, "--configuration=all"]) == 0
    assert "of nnU-Net's default planner" in capsys.readouterr().out
    folders = sorted(path for path in tmp_path.glob("organs*"))
    assert [path.name for path in folders] == ["organs_2d", "organs_3d"]
    slices, volumes = (json.loads((path / "configs/train.json").read_text()) for path in folders)
    assert volumes["network_def"]["spatial_dims"] == len(volumes["patch_size"]) == 3
    assert slices["network_def"]["spatial_dims"] == len(slices["patch_size"]) == len(slices["augmented_size"]) == 2
    assert (slices["pixdim"], volumes["pixdim"]) == ([-1.0, 1.2, 1.2], [3.0, 1.2, 1.2])
    assert slices["axcodes"] == volumes["axcodes"] == "SPL"
    assert (slices["loss"]["loss"]["batch"], volumes["loss"]["loss"]["batch"]) == (True, False)
    lists = [json.loads((path / "data/datalist.json").read_text()) for path in folders]
    assert lists[0] == lists[1]
    assert sorted(item["fold"] for item in lists[0]["training"]) == [0, 0, 0, 1, 1]
    assert json.loads((folders[0] / "data/dataset.json").read_text())["name"] == "organs"
    for items in lists[0].values():
        assert all((folders[0] / "data" / path).is_file() for item in items for path in (*item["image"], item["label"]))


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    raw = data.raw_volumes(folder / "raw")
    new("organs", "xlstm_abdomen_mri_3d", str(raw), str(folder), configuration="2d", processes=1)
    return folder / "organs"


def test_the_2d_network_sees_slices_of_volumes(slices):
    parser = ConfigParser(json.loads((slices / "configs/train.json").read_text()))
    parser["bundle_root"] = str(slices)
    turned = torch.tensor([[0.0, 0, -1, 9], [0, -1, 0, 8], [1, 0, 0, 7], [0, 0, 0, 1]])
    volume = MetaTensor(torch.randn(2, 10, 30, 40), affine=turned)
    label = MetaTensor((torch.rand(1, 10, 30, 40) > 0.9).float())
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*ill-posed")  # several lines for each slice
        item = parser.get_parsed_content("augmentation")({"image": volume, "label": label, "foreground": True})
    assert item["image"].shape == (2, *parser["patch_size"])
    network = parser.get_parsed_content("network_def").eval()
    inferer = parser.get_parsed_content("validate#inferer")
    with torch.no_grad():
        assert inferer(volume[None].as_tensor(), network).shape == (1, 3, 10, 30, 40)
    metadata = json.loads((slices / "configs/metadata.json").read_text())["network_data_format"]
    assert metadata["inputs"]["image"]["spatial_shape"] == parser["patch_size"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"configuration": "4d"}, "--configuration 4d is unknown: give one of 3d, 2d, 3d_lowres, 3d_cascade, all"),
        ({"configuration": "3d_lowres"}, "plans no low resolution for these data"),
        ({"configuration": "2d", "from_": "msvm_acdc"}, "MSVM-UNet always works slice by slice"),
        ({"configuration": "all", "budget": "1h"}, "leave out --configuration all"),
        ({"planner": "resenc_xxl"}, "--planner resenc_xxl is unknown: give one of default, resenc_m, resenc_l"),
        ({"planner": "resenc_m", "memory": 8}, "leave out --memory, or --planner"),
    ],
)
def test_what_cannot_be_planned_is_refused(words, told, slices, tmp_path):
    raw = slices.parent / "raw"
    with pytest.raises(UserError, match=told):
        new(**{"name": "x", "from_": "xlstm_abdomen_mri_3d", "data": str(raw), "out": str(tmp_path), **words})
    assert not list(tmp_path.iterdir())


def test_a_2d_bundle_is_no_start_for_another(slices, tmp_path):
    with pytest.raises(UserError, match="is the 2D network of volumes: start from a bundle in 3D"):
        new("x", str(slices), str(slices.parent / "raw"), str(tmp_path), processes=1)


def test_slices_do_not_start_from_weights_for_volumes(slices, tmp_path):
    base = "xlstm_hippocampus_mri_3d"
    new("x", base, str(slices.parent / "raw"), str(tmp_path), configuration="2d", processes=1)
    assert json.loads((tmp_path / "x/configs/train.json").read_text())["network_def"]["features"][:2] == [32, 64]
    assert "--pretrained" not in (tmp_path / "x/docs/README.md").read_text()


def test_pictures_are_2d_only(tmp_path):
    raw = data.pair_of_pictures(tmp_path / "raw", count=4)
    with pytest.raises(UserError, match=r"--configuration 3d is for volumes, but .* has pictures: leave it out"):
        new("x", "xlstm_endoscopy", str(raw), str(tmp_path / "out"), configuration="3d")
