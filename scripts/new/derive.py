"""The configs of a new bundle: those of a bundle that exists, with other values.

Nothing is written from a template of our own, so that a new bundle has the ids and the order of the bundle that it
comes from and everything that this one learns later. A value is changed where a config has it; other keys stay.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from ..bundle.config import SAVING, Json, kind_of, nodes
from .plan import Normalisation, Plan

GROWN = 2
"""Pixels by which instances are grown back: the published decoding leaves interiors, half of a small object's area."""
INTENSITIES = ("ScaleIntensityd", "ScaleIntensityRanged", "NormalizeIntensityd", "PerChanneld")


def derive(config: Json, plan: Plan, classes: Sequence[str], channels: int, loading: Json | None = None) -> Json:
    """Change a config, or an override of some of its values.

    Args:
        config: content of a JSON file of the base.
        plan: the settings.
        classes: names of the classes without background.
        channels: number of channels of an image.
        loading: a config of a bundle for pictures, whose way of loading and saving is taken; None keeps the base's.

    Returns:
        A changed copy.
    """
    config = copy.deepcopy(config)
    values = _values(plan, classes)
    for key, value in values.items():
        if key in config:
            config[key] = value
    for key, value in _network_values(plan, channels).items():
        if key in config.get("network_def", {}):
            config["network_def"][key] = value
    _fit_blocks(config.get("network_def", {}))
    for node in nodes(config):
        _change(node, plan)
    for kind, chain in _chains(config):
        if loading is not None:
            _load_pictures(chain, dict(_chains(loading))[kind])
        _normalise(chain, plan, trained="train" in kind)
    if loading is not None:
        _save_pictures(config, loading)
        _whole_pictures(config)
        config.pop("axcodes", None)
    return config


def sliced(config: Json, override: Json) -> Json:
    """A config for volumes with the values of the network for their slices.

    Args:
        config: content of a JSON file of a bundle for volumes.
        override: content of its ``2d.json``; of its ids those are taken that the config has.
    """
    config = copy.deepcopy(config)
    for name, value in override.items():
        *path, last = name.split("#")
        node: Any = config
        for key in path:
            node = node.get(key, {})
        if last in node:
            node[last] = copy.deepcopy(value)
    return config


def metadata(base: Json, plan: Plan, name: str, classes: Sequence[str], channels: Sequence[str], modality: str) -> Json:
    """The metadata of the new bundle.

    Args:
        base: those of the base.
        plan: the settings.
        name: name of the new bundle.
        classes: names of the classes without background.
        channels: names of the channels.
        modality: of the images, empty where it is not known.
    """
    result = copy.deepcopy(base)
    network = "MSVM-UNet" if plan.network == "msvm" else "xLSTM-UNet"
    numbered = ", ".join(f"{number} {label}" for number, label in enumerate(["background", *classes]))
    result |= {
        "version": "0.1.0",
        "changelog": {"0.1.0": "first version"},
        "name": name,
        "task": f"Segmentation of {', '.join(classes)}",
        "description": f"{network} with settings planned from the data set",
        "data_source": "stated by who made the bundle: see docs/data_license.txt",
        "data_type": "nifti" if plan.axes else "png",
        "image_classes": f"{len(channels)} channels: {', '.join(channels)}",
        "label_classes": f"single channel: {numbered}",
        "pred_classes": f"{len(classes) + 1} channels, one for each class",
        "eval_metrics": {},
    }
    image = result["network_data_format"]["inputs"]["image"]
    image |= {
        "modality": modality or "unknown",
        "num_channels": len(channels),
        "channel_def": {str(number): channel for number, channel in enumerate(channels)},
    }
    pred = result["network_data_format"]["outputs"]["pred"]
    pred |= {
        "num_channels": len(classes) + 1,
        "channel_def": {str(number): label for number, label in enumerate(["background", *classes])},
    }
    if plan.network == "xlstm":
        image["spatial_shape"] = pred["spatial_shape"] = list(plan.patch_size)
    return result


def _values(plan: Plan, classes: Sequence[str]) -> Json:
    values: Json = {"class_names": list(classes), "batch_size": plan.batch_size}
    if plan.axes:
        values["axcodes"] = plan.axes
    if plan.network == "msvm":
        return values | {"roi_size": list(plan.patch_size)}
    values |= {"patch_size": list(plan.patch_size), "augmented_size": list(plan.augmented_size)}
    return values if plan.pixdim is None else values | {"pixdim": list(plan.pixdim)}


def _network_values(plan: Plan, channels: int) -> Json:
    if plan.topology is None:
        return {"in_channels": channels}
    return {
        "spatial_dims": plan.spatial_dims,
        "in_channels": channels,
        "features": list(plan.topology.features),
        "kernel_sizes": [_short(kernel) for kernel in plan.topology.kernel_sizes],
        "strides": [_short(stride) for stride in plan.topology.strides],
    }


def _fit_blocks(network: Json) -> None:
    """Fit lists of counts of blocks to the number of stages: further stages get that of the deepest."""
    stages = len(network.get("features", ()))
    for key, length, deepest in (("blocks_per_stage", stages, -1), ("decoder_blocks_per_stage", stages - 1, 0)):
        counts = network.get(key)
        if isinstance(counts, list):
            more = [counts[deepest]] * (length - len(counts))
            network[key] = [*counts, *more][:length] if deepest else [*more, *counts][-length:]


def _short(values: Sequence[int]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else list(values)


def _change(node: Json, plan: Plan) -> None:
    kind = kind_of(node)
    if kind == "ScoreWriter" and kind_of(node.get("scoring")) == "OrganScoring":
        del node["scoring"]
    elif kind == "InteriorToInstancesd":
        node.setdefault("grow", GROWN)
    elif plan.network == "xlstm":
        _change_xlstm(node, kind, plan)


def _change_xlstm(node: Json, kind: str, plan: Plan) -> None:
    if kind == "DeepSupervisionLoss":
        node["weights"] = list(plan.supervision)
    elif kind == "DiceCELoss" and plan.batch_dice is not None:
        node["batch"] = plan.batch_dice
    elif kind == "RandRotateScaled":
        node["degrees"] = plan.degrees
        _in_plane(node, plan)
    elif kind == "RandChannelwised" and kind_of(node["transform"]) == "RandLowResolution":
        _in_plane(node, plan)


def _in_plane(node: Json, plan: Plan) -> None:
    if plan.in_plane:
        node["slice_axis"] = 0
    else:
        node.pop("slice_axis", None)


def _chains(config: Json) -> Iterator[tuple[str, list[Any]]]:
    """The lists of transforms that prepare images, by the id of their place."""
    for kind, holder in (("train", config.get("train")), ("validate", config.get("validate")), ("", config)):
        if isinstance(holder, dict) and isinstance(holder.get("preprocessing"), dict):
            yield kind or "inference", holder["preprocessing"]["transforms"]


def _place(chain: Sequence[Any], *kinds: str) -> int | None:
    """Place of the first transform of one of these kinds."""
    return next((n for n, step in enumerate(chain) if kind_of(step) in kinds), None)


def _normalise(chain: list[Any], plan: Plan, trained: bool) -> None:
    found = plan.normalisation
    if plan.network == "msvm":
        before = _place(chain, "ResizeSlicesd")
        if before is None:
            return
        keep = [step for step in chain[:before] if kind_of(step) not in INTENSITIES]
        chain[:before] = [*keep, *_unit_steps(found, trained)]
        return
    place = _place(chain, *INTENSITIES)
    if place is None:
        return
    keys = chain[place]["keys"]
    kept = [step for step in chain if kind_of(step) not in INTENSITIES]  # a bundle made by new may have several
    chain[:] = [*kept[:place], *_steps(found, keys), *kept[place:]]


def _steps(found: Normalisation, keys: Any) -> list[Json]:
    """The transforms of a normalisation for xLSTM-UNet."""
    if found.kind == "by channel":
        transforms = [_channel_steps(channel) for channel in found.channels]
        return [{"_target_": "components.transforms.PerChanneld", "keys": keys, "transforms": transforms}]
    if found.kind == "ct":
        scale = {"_target_": "NormalizeIntensityd", "keys": keys, "subtrahend": found.mean, "divisor": found.sd}
        return [_range(found.low, found.high, found.low, found.high), scale]
    z_score = {"_target_": "NormalizeIntensityd", "keys": keys, "channel_wise": True}
    return [z_score | {"nonzero": True}] if found.masked else [z_score]


def _channel_steps(found: Normalisation) -> list[Json]:
    """The transforms of a normalisation for one channel: those of arrays, not of dictionaries."""
    if found.kind == "ct":
        scale = {"_target_": "NormalizeIntensity", "subtrahend": found.mean, "divisor": found.sd}
        return [_array_range(found.low, found.high, found.low, found.high), scale]
    if found.kind == "8 bit":
        return [_array_range(0.0, 255.0, 0.0, 1.0)]
    if found.kind == "minimum-maximum":
        return [{"_target_": "ScaleIntensity", "minv": 0.0, "maxv": 1.0}]
    return [{"_target_": "NormalizeIntensity", "nonzero": found.masked}] if found.kind == "z-score" else []


def _unit_steps(found: Normalisation, trained: bool) -> list[Json]:
    """To 0 … 1; the slices of a training are stored so where the range is each volume's own."""
    if found.kind == "ct":
        return [_range(found.low, found.high, 0.0, 1.0)]
    if found.kind == "8 bit":
        return [_range(0.0, 255.0, 0.0, 1.0)]
    if trained:
        return []
    return [{"_target_": "ScaleIntensityd", "keys": "image", "minv": 0.0, "maxv": 1.0, "channel_wise": True}]


def _range(low: float, high: float, to_low: float, to_high: float) -> Json:
    return {"_target_": "ScaleIntensityRanged", "keys": "image", **_bounds(low, high, to_low, to_high)}


def _array_range(low: float, high: float, to_low: float, to_high: float) -> Json:
    return {"_target_": "ScaleIntensityRange", **_bounds(low, high, to_low, to_high)}


def _bounds(low: float, high: float, to_low: float, to_high: float) -> Json:
    return {"a_min": low, "a_max": high, "b_min": to_low, "b_max": to_high, "clip": True}


def _load_pictures(chain: list[Any], pictures: Sequence[Any]) -> None:
    """Load as the bundle for pictures does; a picture is a slice already."""
    ends = _place(chain, *INTENSITIES, "ResizeSlicesd")
    loads = _place(pictures, *INTENSITIES, "CropForegroundd")
    chain[:ends] = copy.deepcopy(list(pictures[:loads]))
    chain[:] = [step for step in chain if kind_of(step) not in ("RandSpatialCropd", "SqueezeDimd")]


def _save_pictures(config: Json, pictures: Json) -> None:
    wanted = next((node for node in nodes(pictures) if kind_of(node) in SAVING), {})
    for node in nodes(config):
        if kind_of(node) in SAVING:
            node |= {key: wanted[key] for key in ("output_ext", "writer") if key in wanted}


def _whole_pictures(config: Json) -> None:
    """The network sees a picture at once, where it saw a volume slice by slice."""
    for node in [node for node in nodes(config) if kind_of(node) == "SliceInferer"]:
        node.clear()
        node["_target_"] = "SimpleInferer"
