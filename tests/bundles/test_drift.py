"""The bundles are alike: what differs between their configs is listed here, with the reason."""

import json

import pytest

from tests.bundles.workflow import BUNDLES, ROOT, configs

FAMILIES = {
    "msvm": [n for n in BUNDLES if n.startswith("msvm_")],
    "xlstm": [n for n in BUNDLES if n.startswith("xlstm_")],
}
TRAINED = ["xlstm_hippocampus_mri_3d", "xlstm_nuclei"]
VOLUMES = ["xlstm_abdomen_mri_3d", "xlstm_hippocampus_mri_3d"]
NAMES = ["train", "evaluate", "inference", "multi_gpu_train", "multi_gpu_evaluate"]

OWN_FILES = {
    "configs/2d.json": (["xlstm_abdomen_mri_3d"], "the paper's other network for these volumes"),
    "configs/adamw.json": (FAMILIES["xlstm"], "the optimiser of the paper beside that of its published code"),
    "configs/demo.json": (["msvm_synapse", "xlstm_cells"], "short trainings on a sample"),
    "configs/short.json": (TRAINED, "the short training that their weights come from"),
    "configs/overfit.json": (["msvm_synapse", "xlstm_abdomen_mri_3d"], "demonstrations on what they were trained on"),
}

# Top-level entries of train.json, evaluate.json and inference.json that not all bundles have.
OWN_SETTINGS = {
    "encoder_weights": (FAMILIES["msvm"], "an encoder with ImageNet weights"),
    "encoder": (FAMILIES["msvm"], "two sizes of the encoder"),
    "frozen_epochs": (FAMILIES["msvm"], "the pre-trained encoder waits"),
    "roi_size": (FAMILIES["msvm"], "whole slices, resized"),
    "augmented_size": (FAMILIES["xlstm"], "nnU-Net cuts a larger patch before it rotates"),
    "patch_size": (FAMILIES["xlstm"], "patches of the image"),
    "mirror_axes": (FAMILIES["xlstm"], "nnU-Net's mirroring of the test images"),
    "variant": (FAMILIES["xlstm"], "xLSTM in the bottleneck or in the whole encoder"),
    "cache_dir": (FAMILIES["xlstm"], "slices are prepared on disk already"),
    "pixdim": (VOLUMES, "volumes are resampled to one voxel size"),
    "axcodes": ([*FAMILIES["msvm"], *VOLUMES], "volumes are turned to one orientation"),
}

JOINT = ("loss#_target_", "loss#loss#_target_")

# Paths below which the values of a family differ.
OWN_VALUES = {
    "msvm": {
        "weight_decay": "of the recipe",
        "class_names": "of the data",
        "train#preprocessing": "CT is windowed, MR is scaled by its own range",
        "validate#preprocessing": "the same",
        "preprocessing": "the same",
    },
    "xlstm": {
        **dict.fromkeys(["batch_size", "learning_rate", "augmented_size", "patch_size", "pixdim"], "of the recipe"),
        "axcodes": "pictures have no orientation",
        "class_names": "of the data",
        "variant": "the better one of the paper for these data",
        "network_def": "channels of the image, and levels by patch size",
        "loss": "levels of the deep supervision; in 2D the Dice is over the batch",
        "augmentation": "dimension, and the largest rotation",
        "train#preprocessing": "pictures and volumes are read differently",
        "validate#preprocessing": "the same",
        "preprocessing": "the same",
        "validate#postprocessing": "cells are separated",
        "postprocessing": "the same, and pictures are saved as PNG",
        "validate#handlers": "each data set has its own published scores",
        JOINT[1]: "a Dice for each item is the same in any process",
    },
}

# Paths whose values differ between the families.
FAMILY_VALUES = {
    **dict.fromkeys(
        ["amp", "max_epochs", "epoch_length", "val_interval", "batch_size", "learning_rate", "weight_decay"],
        "of the recipe",
    ),
    **dict.fromkeys(["sw_batch_size", "class_names", *OWN_SETTINGS], "of the recipe"),
    **dict.fromkeys(["network_def", "loss", "optimizer", "lr_scheduler", "augmentation"], "of the recipe"),
    "train#dataset": "nnU-Net draws cases with replacement",
    "train#dataloader": "the same",
    "train#preprocessing": "of the recipe",
    "train#handlers": "one freezes the encoder, the other clips gradients",
    "validate#preprocessing": "of the recipe",
    "validate#inferer": "slices or patches",
    "validate#postprocessing": "classes are chosen before or after the way back to the grid",
    "validate#handlers": "each data set has its own published scores",
    "preprocessing": "of the recipe",
    "inferer": "slices or patches",
    "postprocessing": "as in validation",
    "network": "batch normalisation is shared by the processes, which the other network does not have",
    **dict.fromkeys(
        ["train#sampler", "train#dataloader#sampler", "train#dataloader#shuffle"],
        "EpochDataset draws for each process by itself",
    ),
    **dict.fromkeys(JOINT, "a Dice over the batch is joint; that of xLSTM-UNet lies in a deep supervision"),
    "initialize": "processes that draw by themselves need seeds of their own",
}

# Parts that are the same text in all bundles, whatever is added to the lists above.
SHARED = {
    "train": ["imports", "initialize", "bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "fold", "pretrained",
              "resume", "device", "seed", "ema", "ema_momentum", "patience", "num_workers", "cache_rate", "num_classes",
              "network", "train#trainer", "train#inferer", "validate#dataset", "validate#dataloader",
              "validate#evaluator", "validate#key_metric#val_mean_dice", "checkpoints", "training", "run"],
    "evaluate": ["imports", "initialize", "output_dir", "ckpt_dir", "fold", "device", "network",
                 "validate#dataset", "validate#dataloader",
                 "validate#key_metric#val_mean_dice", "validate#evaluator", "evaluating", "run"],
    "inference": ["imports", "initialize", "device", "network", "dataset", "dataloader", "evaluator", "handlers",
                  "inferring", "run"],
    "multi_gpu_train": ["imports", "device", "validate#dataloader#sampler", "validate#evaluator#network", "finalize"],
    "multi_gpu_evaluate": ["imports", "device", "validate#dataloader#sampler", "initialize", "finalize"],
}  # fmt: skip


def read(bundle, name):
    return json.loads((configs(bundle) / f"{name}.json").read_text())


def flat(config, prefix=""):
    """Values by path; lists and instances are taken as wholes two levels down, as their parts have no names."""
    found = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and "_target_" not in value:
            found |= flat(value, f"{path}#")
        else:
            found[path] = value
    return found


def differing(bundles, name):
    flats = [flat(read(bundle, name)) for bundle in bundles]
    paths = dict.fromkeys(path for values in flats for path in values)
    return [path for path in paths if len({json.dumps(values.get(path, "absent")) for values in flats}) > 1]


def test_files():
    for folder in ("configs", "docs", "."):
        listed = {
            bundle: {
                p.name for p in (ROOT / "bundles" / bundle / folder).iterdir() if p.is_file() and p.suffix != ".pt"
            }
            for bundle in BUNDLES
        }
        for path, (owners, _) in OWN_FILES.items():
            if path.startswith(f"{folder}/"):
                name = path.removeprefix(f"{folder}/")
                assert {bundle for bundle in BUNDLES if name in listed[bundle]} == set(owners)
                for names in listed.values():
                    names.discard(name)
        assert len(set(map(frozenset, listed.values()))) == 1, listed


@pytest.mark.parametrize("name", NAMES)
def test_the_same_settings_in_the_same_order(name):
    orders = []
    for bundle in BUNDLES:
        keys = list(read(bundle, name))
        for key in keys:
            assert bundle in OWN_SETTINGS.get(key, (BUNDLES, ""))[0], f"{key} of {bundle} is not listed for it"
        orders.append(
            [key for key in keys if key not in (*OWN_SETTINGS, *JOINT) and key.split("#")[0] not in ("train",)]
        )
    assert all(order == orders[0] for order in orders)
    for family in FAMILIES.values():
        own = [[key for key in read(bundle, name) if key not in ("pixdim", "axcodes", *JOINT)] for bundle in family]
        assert all(order == own[0] for order in own)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_values_within_a_family(family, name):
    assert [path for path in differing(FAMILIES[family], name) if path not in OWN_VALUES[family]] == []


@pytest.mark.parametrize("name", NAMES)
def test_values_of_all(name):
    allowed = {*FAMILY_VALUES, *OWN_VALUES["msvm"], *OWN_VALUES["xlstm"]}
    assert [path for path in differing(BUNDLES, name) if path not in allowed] == []


@pytest.mark.parametrize("name", NAMES)
def test_shared_parts_are_one_text(name):
    found = differing(BUNDLES, name)
    assert [path for path in found if path in SHARED[name]] == []
    for path in SHARED[name]:
        assert path in flat(read(BUNDLES[0], name)), f"{name}.json has no {path}"


def test_no_reason_is_left_over():
    every = {path for name in NAMES for path in differing(BUNDLES, name)}
    assert {*FAMILY_VALUES} - every == set()
    for family, bundles in FAMILIES.items():
        own = {path for name in NAMES for path in differing(bundles, name)}
        assert set(OWN_VALUES[family]) == own


@pytest.mark.parametrize("bundle", BUNDLES)
def test_configs_of_a_bundle_agree(bundle):
    """What evaluation and inference repeat is what the training has."""
    train = flat(read(bundle, "train"))
    for name in ("evaluate", "inference"):
        other = read(bundle, name)
        if name == "evaluate":
            assert [other[key] for key in ("output_dir", "ckpt_dir", "fold")] == [
                train[key] for key in ("output_dir", "ckpt_dir", "fold")
            ]
        for key in ("bundle_root", "dataset_dir", "device", "amp", "num_workers", "roi_size",
                    "patch_size", "pixdim", "sw_batch_size", "mirror_axes", "encoder", "variant", "class_names",
                    "num_classes", "network"):  # fmt: skip
            assert other.get(key) == train.get(key), f"{name}.json: {key}"
        network = {key: value for key, value in train["network_def"].items() if key != "encoder_weights"}
        assert other["network_def"] == network
    assert flat(read(bundle, "evaluate"))["validate#inferer"] == read(bundle, "inference")["inferer"]


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_the_network_is_made_first(bundle, name):
    """It checks the version of the components, before anything else of them is used."""
    config = flat(read(bundle, name))
    for path in ("train#trainer", "validate#evaluator", "evaluator"):
        if path in config:
            keys = list(config[path])
            assert keys.index("network") < keys.index("train_data_loader" if "trainer" in path else "val_data_loader")
    if name == "train":
        assert list(config["checkpoints"]).index("network") < list(config["checkpoints"]).index("trainer")
    assert config["network_def"]["_requires_"][-1] == {
        "_target_": "components.require",
        "version": read(bundle, "metadata")["version"],
    }
