"""A bundle derived with the values that its base has is the base, and only values change where they differ."""

import copy
import dataclasses

import pytest
import torch
from monai.bundle import ConfigParser

from components.networks import load_pretrained
from scripts.bundle.find import ROOT
from scripts.errors import UserError
from scripts.new.base import find_base, fitting
from scripts.new.derive import derive
from scripts.new.plan import Normalisation, Plan
from scripts.new.topology import augmented_size, degrees, is_anisotropic, supervision_weights, topology

CONFIGS = ["train.json", "evaluate.json", "inference.json"]


def xlstm_plan(patch, pixdim, batch, **changes):
    found = topology(pixdim, patch)
    volumes = len(patch) == 3
    base = Plan(
        network="xlstm",
        spatial_dims=len(patch),
        axes="SPL" if volumes else "",
        patch_size=found.patch_size,
        batch_size=batch,
        normalisation=Normalisation("z-score"),
        estimate_gib=1.0,
        pixdim=tuple(pixdim) if volumes else None,
        topology=found,
        augmented_size=augmented_size(patch),
        degrees=degrees(patch),
        in_plane=is_anisotropic(patch),
        supervision=supervision_weights(len(found.strides)),
    )
    return dataclasses.replace(base, **changes)


PUBLISHED = {
    "xlstm_abdomen_mri_3d": (xlstm_plan((48, 160, 224), (3.0, 1.19, 1.19), 2), 1),
    "xlstm_endoscopy": (xlstm_plan((384, 640), (1.0, 1.0), 13), 3),
    "xlstm_cells": (xlstm_plan((512, 512), (1.0, 1.0), 12), 3),
    "msvm_synapse": (Plan("msvm", 2, "PLS", (224, 224), 32, Normalisation("ct", -125.0, 275.0, 0.0, 1.0), 1.0), 1),
}


def flat(value, path=""):
    """Leaves of a configuration by their ids."""
    if isinstance(value, dict):
        return {key: leaf for k, v in value.items() for key, leaf in flat(v, f"{path}#{k}").items()}
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return {key: leaf for n, v in enumerate(value) for key, leaf in flat(v, f"{path}#{n}").items()}
    return {path: value}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("file", CONFIGS)
def test_the_published_plan_gives_back_the_base(name, file):
    base = find_base(name)
    plan, channels = PUBLISHED[name]
    before = base.configs[file]
    after = derive(before, plan, before["class_names"], channels)
    wanted = copy.deepcopy(before)
    if name == "xlstm_abdomen_mri_3d" and file == "evaluate.json":
        # The tolerances of its thirteen organs mean nothing for other classes.
        (writer,) = [h for h in wanted["validate"]["handlers"] if h["_target_"].endswith("ScoreWriter")]
        del writer["scoring"]
    if name == "xlstm_cells" and file in ("evaluate.json", "inference.json"):
        steps = (wanted["validate"] if file == "evaluate.json" else wanted)["postprocessing"]["transforms"]
        (decoding,) = [step for step in steps if step["_target_"].endswith("InteriorToInstancesd")]
        decoding["grow"] = 2  # the published decoding leaves the interiors of the objects
    assert after == wanted
    assert list(after) == list(wanted)


def differences(before, after):
    one, other = flat(before), flat(after)
    return {key for key in {*one, *other} if one.get(key) != other.get(key)}


def test_another_plan_changes_values_only():
    base = find_base("xlstm_endoscopy")
    plan = xlstm_plan((96, 112), (1.0, 1.0), 5)
    before = base.configs["train.json"]
    after = derive(before, plan, ["polyp"], 3)
    assert differences(before, after) == {
        "#class_names",
        "#batch_size",
        "#patch_size",
        "#augmented_size",
        "#network_def#features",
        "#network_def#kernel_sizes",
        "#network_def#strides",
        "#loss#weights",
        "#augmentation#transforms#1#degrees",
    }
    assert before == find_base("xlstm_endoscopy").configs["train.json"]


@pytest.mark.parametrize(
    ("name", "patch"),
    [("xlstm_nuclei", (64, 64)), ("xlstm_nuclei", (512, 512)), ("xlstm_hippocampus_mri_3d", (32, 64, 64))],
)
def test_a_base_with_trained_weights_starts_the_training_of_another_number_of_stages(name, patch):
    base = find_base(name)
    plan = xlstm_plan(patch, (1.0,) * len(patch), 2)
    assert len(plan.topology.strides) != len(base.widths)
    plan = dataclasses.replace(plan, topology=plan.topology.within(base.widths))
    config = derive(base.configs["train.json"], plan, ["one", "two", "three"], 1)
    parser = ConfigParser(config)
    parser["network_def#_requires_"] = []
    assert load_pretrained(parser.get_parsed_content("network_def"), base.weights) > 0.5


def test_features_by_nnunets_rules_are_not_taken_from_the_base():
    assert [find_base(name).widths for name in PUBLISHED] == [()] * len(PUBLISHED)


def test_what_the_base_learns_later_is_kept():
    before = copy.deepcopy(find_base("xlstm_endoscopy").configs["train.json"])
    before["something_new"] = {"_target_": "torch.nn.Identity", "size": "@patch_size"}
    before["train"]["handlers"].append({"_target_": "components.handlers.New", "interval": 3})
    after = derive(before, PUBLISHED["xlstm_endoscopy"][0], before["class_names"], 3)
    assert after == before


@pytest.mark.parametrize("file", ["adamw.json", "multi_gpu_train.json", "multi_gpu_evaluate.json"])
def test_overrides_stay_as_they_are(file):
    before = find_base("xlstm_abdomen_mri_3d").configs[file]
    assert derive(before, xlstm_plan((32, 64, 64), (1.0, 1.0, 1.0), 3), ["liver"], 2) == before


def chain(config, part="train"):
    return (config[part] if part else config)["preprocessing"]["transforms"]


def kinds(transforms):
    return [t["_target_"].rpartition(".")[2] if isinstance(t, dict) else t for t in transforms]


def test_isotropic_volumes_are_rotated_in_space():
    plan = xlstm_plan((96, 96, 96), (1.0, 1.0, 1.0), 2, axes="LSP")
    after = derive(find_base("xlstm_abdomen_mri_3d").configs["train.json"], plan, ["liver"], 2)
    (rotation,) = [t for t in after["augmentation"]["transforms"] if t["_target_"].endswith("RandRotateScaled")]
    assert rotation["degrees"] == 30
    assert "slice_axis" not in rotation
    (low,) = [t for t in after["augmentation"]["transforms"] if "LowResolution" in str(t)]
    assert "slice_axis" not in low
    assert {t["axcodes"] for t in chain(after) if isinstance(t, dict) and "axcodes" in t} == {"@axcodes"}
    assert after["axcodes"] == "LSP"
    assert after["network_def"]["in_channels"] == 2
    assert after["pixdim"] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("file", "part"), [("train.json", "train"), ("train.json", "validate"), ("inference.json", "")]
)
def test_ct_is_clipped_then_normalised(file, part):
    plan = xlstm_plan((32, 64, 64), (1.0, 1.0, 1.0), 2, normalisation=Normalisation("ct", -50.0, 250.0, 90.0, 40.0))
    after = derive(find_base("xlstm_abdomen_mri_3d").configs[file], plan, ["liver"], 1)
    steps = {k: t for k, t in zip(kinds(chain(after, part)), chain(after, part), strict=True) if isinstance(t, dict)}
    clip, scale = steps["ScaleIntensityRanged"], steps["NormalizeIntensityd"]
    assert (clip["a_min"], clip["a_max"], clip["b_min"], clip["b_max"], clip["clip"]) == (-50, 250, -50, 250, True)
    assert (scale["subtrahend"], scale["divisor"]) == (90.0, 40.0)
    assert "channel_wise" not in scale
    assert kinds(chain(after, part)).index("ScaleIntensityRanged") + 1 == kinds(chain(after, part)).index(
        "NormalizeIntensityd"
    )


def test_each_channel_has_its_own_normalisation():
    """A base that has such a normalisation, as bundles that new made, gives its place to another one."""
    ct = Normalisation("ct", -50.0, 250.0, 90.0, 40.0)
    mixed = Normalisation("by channel", channels=(ct, Normalisation("z-score"), Normalisation("none")))
    base = find_base("xlstm_abdomen_mri_3d").configs["inference.json"]
    plan = xlstm_plan((32, 64, 64), (1.0, 1.0, 1.0), 2, normalisation=mixed)
    after = derive(base, plan, ["liver"], 3)
    (step,) = [t for t in chain(after, "") if "PerChanneld" in str(t)]
    normalise = ConfigParser({"step": step}).get_parsed_content("step")
    image = torch.linspace(-200, 400, 192).reshape(3, 4, 4, 4)
    found = normalise({"image": image})["image"]
    z_score = (image[1] - image[1].mean()) / image[1].std(correction=0)
    torch.testing.assert_close(found, torch.stack([(image[0].clip(-50, 250) - 90) / 40, z_score, image[2]]))
    again = derive(after, dataclasses.replace(plan, normalisation=Normalisation("z-score")), ["liver"], 3)
    assert [t for t in chain(again, "") if "ntensity" in str(t)] == [t for t in chain(base, "") if "ntensity" in str(t)]


def test_margins_are_left_out_of_the_z_score():
    plan = xlstm_plan((32, 64, 64), (1.0, 1.0, 1.0), 2, normalisation=Normalisation("z-score", masked=True))
    after = derive(find_base("xlstm_abdomen_mri_3d").configs["train.json"], plan, ["liver"], 1)
    (step,) = [t for t in chain(after) if isinstance(t, dict) and t["_target_"] == "NormalizeIntensityd"]
    assert step["nonzero"] is True


@pytest.mark.parametrize("name", ["msvm_synapse", "msvm_acdc"])
def test_msvm_scales_volumes_by_their_own_range(name):
    plan = Plan("msvm", 2, "SPL", (224, 224), 4, Normalisation("minimum-maximum"), 1.0)
    after = derive(find_base(name).configs["train.json"], plan, ["heart"], 2)
    loaded = ["LoadWholeImaged", "EnsureChannelFirstd", "CheckItemd", "Orientationd"]
    assert kinds(chain(after))[:5] == [*loaded, "ResizeSlicesd"]
    assert kinds(chain(after, "validate"))[:6] == [*loaded, "ScaleIntensityd", "ResizeSlicesd"]
    assert kinds(chain(after))[-1] == "NormalizeIntensityd"
    assert after["network_def"]["in_channels"] == 2


@pytest.mark.parametrize("file", CONFIGS)
def test_msvm_reads_pictures_as_the_bundle_for_pictures(file):
    base, pictures, note = fitting(find_base("msvm_acdc"), 2)
    assert "pictures are loaded as xlstm_endoscopy does" in note
    plan = Plan("msvm", 2, "", (224, 224), 4, Normalisation("8 bit"), 1.0)
    after = derive(base.configs[file], plan, ["polyp"], 3, pictures.configs[file])
    text = str(after)
    assert "SliceInferer" not in text
    assert "Orientationd" not in text
    assert "axcodes" not in text
    assert "RandSpatialCropd" not in text
    assert "PILReader" in text
    assert ("PILWriter" in text) == (file != "train.json")  # the evaluation writes the maps of a fold


def test_the_bundle_fits_the_images():
    endoscopy, cells, abdomen = (find_base(n) for n in ("xlstm_endoscopy", "xlstm_cells", "xlstm_abdomen_mri_3d"))
    assert (abdomen.spatial_dims, endoscopy.spatial_dims, find_base("msvm_acdc").spatial_dims) == (3, 2, 3)
    assert (cells.instances, endoscopy.instances) == (True, False)
    assert (abdomen.variant, endoscopy.variant) == ("bot", "enc")
    assert fitting(endoscopy, 2) == (endoscopy, None, "")
    for base in (endoscopy, cells):
        found, _, note = fitting(base, 3)
        assert found.folder.name == "xlstm_abdomen_mri_3d"
        assert "is not for volumes: derived from xlstm_abdomen_mri_3d" in note
    assert fitting(abdomen, 2)[0].folder.name == "xlstm_endoscopy"


def test_a_bundle_is_found_by_its_path(tmp_path):
    assert find_base(str(ROOT / "bundles" / "msvm_acdc")).network == "msvm"
    with pytest.raises(UserError, match="did you mean 'msvm_acdc'"):
        find_base("msvm_adcd")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/train.json").write_text('{"network_def": {"_target_": "UNet"}}')
    with pytest.raises(UserError, match="has the network UNet: start from a bundle of MSVM-UNet or xLSTM-UNet"):
        find_base(str(tmp_path))
