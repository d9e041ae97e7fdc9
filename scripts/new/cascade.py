"""The configs of a cascade: a network that also sees the label map of a previous stage."""

from __future__ import annotations

from collections.abc import Sequence

from ..bundle.config import PREVIOUS, Json, kind_of, nodes

SPATIAL = {
    "LoadWholeImaged": None,
    "EnsureChannelFirstd": None,
    "Orientationd": None,
    "CropForegroundd": None,
    "ResampleSpacingd": "label",
    "RandPatchd": None,
    "RandRotateScaled": "label",
    "RandFlipd": None,
}
"""Transforms that treat the map as the image, and how they interpolate it."""
SHAKEN = ("RandMorphologyd", "RandRemoveComponentd")
"""Transforms that make the map worse in a training."""


def add_previous(config: Json, stage: str, labels: Sequence[int]) -> None:
    """Change a derived config, or an override of some of its values.

    Args:
        config: of a bundle for volumes; it is changed.
        stage: name of the bundle of the previous stage, in the same folder.
        labels: its labels, each of which becomes a channel of the network's input.
    """
    for node in nodes(config):
        _change(node)
    for name, holder in (("train", config.get("train")), ("validate", config.get("validate")), ("", config)):
        if isinstance(holder, dict) and "preprocessing" in holder:
            chain = holder["preprocessing"]["transforms"]
            place = next((n for n, step in enumerate(chain) if kind_of(step) == "CheckItemd"), None)
            if place is not None:
                chain.insert(place + 1, _check())
            if name != "train":
                chain.append(_append())
    if "augmentation" in config:
        shaken = [{"_target_": f"components.transforms.{kind}", **_labels(PREVIOUS)} for kind in SHAKEN]
        config["augmentation"]["transforms"] += [*shaken, _append()]
    if "network_def" in config:
        config["network_def"]["in_channels"] += len(labels)
    if "dataset_dir" in config:
        segments = any(kind_of(node) == "inference_items" for node in nodes(config))
        after = list(config)[list(config).index("dataset_dir") + 1 :]
        rest = {key: config.pop(key) for key in after}
        config["previous_stage"] = f"$os.path.join(@bundle_root, '..', '{stage}')"
        config["previous_dir"] = "$os.path.join(@previous_stage, 'output')"
        if segments:
            config["previous_ckpt_dir"] = "$os.path.join(@previous_stage, 'models')"  # predict runs that stage
        config["previous_labels"] = list(labels)
        config |= rest


def add_previous_channels(metadata: Json, stage: str, names: Sequence[str]) -> None:
    """Change the metadata in the same way.

    Args:
        metadata: of a bundle for volumes; they are changed.
        stage: name of the bundle of the previous stage.
        names: of its labels.
    """
    image = metadata["network_data_format"]["inputs"]["image"]
    first = image["num_channels"]
    image["num_channels"] += len(names)
    image["channel_def"] |= {str(number): f"{name} by {stage}" for number, name in enumerate(names, start=first)}
    metadata["image_classes"] += f"; the label map of {stage}, a channel for each label"


def _change(node: Json) -> None:
    kind = kind_of(node)
    if kind in SPATIAL and "image" in (keys := _list(node["keys"])):
        node["keys"] = [*keys, PREVIOUS]
        if SPATIAL[kind]:
            node["mode"] = [*_list(node["mode"]), SPATIAL[kind]]
    elif kind == "CheckItemd":
        node["channels"] = "$@network_def#in_channels - len(@previous_labels)"
    elif kind in ("split_items", "inference_items"):
        node["previous_dir"] = "@previous_dir"


def _check() -> Json:
    return {
        "_target_": "components.transforms.CheckItemd",
        "keys": PREVIOUS,
        "label_key": PREVIOUS,
        "channels": 1,
        "num_classes": "$max(@previous_labels) + 1",
    }


def _append() -> Json:
    return {"_target_": "components.transforms.AppendOneHotd", "label_key": PREVIOUS, **_labels("image")}


def _labels(keys: str) -> Json:
    return {"keys": keys, "labels": "@previous_labels"}


def _list(value: object) -> list:
    return list(value) if isinstance(value, list) else [value]
