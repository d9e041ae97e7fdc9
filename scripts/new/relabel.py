"""The configs of a bundle whose classes are regions, or whose label maps have voxels to be ignored."""

from __future__ import annotations

from collections.abc import Sequence

from ..bundle.config import Json, kind_of, nodes
from ..data.labelling import Labelling

REGIONS = {"regions": "@regions"}
IGNORED = {"ignore_label": "@ignore_label"}


def relabel(config: Json, labelling: Labelling, labels: int) -> None:
    """Change a derived config, or an override of some of its values.

    A config with ``num_classes`` gets ``regions`` and ``regions_class_order``, or ``ignore_label``, or all of them, and
    what reads label maps or writes them knows of these. A training validates each region by itself, too.

    Args:
        config: of a bundle whose labels are classes that exclude each other; it is changed.
        labelling: what the labels are.
        labels: number of labels, background and ignored ones included.
    """
    if labelling.plain:
        return
    used = (REGIONS if labelling.regions else {}) | ({} if labelling.ignore is None else IGNORED)
    for node in nodes(config):
        _change(node, used, labels)
    if "num_classes" in config:
        values = {key: config.pop(key) for key in _after(config, "num_classes")}
        if labelling.regions:
            config["num_classes"] = "$len(@class_names)"
            config["regions"] = [list(region) for region in labelling.regions.values()]
            config["regions_class_order"] = list(labelling.order)
        if labelling.ignore is not None:
            config["ignore_label"] = labelling.ignore
        config |= values
    if labelling.regions and "trainer" in config.get("train", {}):
        config["validate"]["evaluator"]["additional_metrics"] = _dice_of_each(labelling)
    for key in [key for key, value in config.items() if str(value).endswith(".JointDiceCELoss")]:
        del config[key]  # the losses that are set here are joint by themselves


def relabel_metadata(metadata: Json, labelling: Labelling, classes: Sequence[str]) -> None:
    """Change the metadata in the same way.

    Args:
        metadata: of a bundle whose classes exclude each other; they are changed.
        labelling: what the labels are.
        classes: names of the classes without background.
    """
    ignored = "" if labelling.ignore is None else f", {labelling.ignore} ignored"
    if labelling.regions:
        regions = (f"{name} {', '.join(map(str, labels))}" for name, labels in labelling.regions.items())
        metadata["label_classes"] = f"single channel: 0 background; regions of labels: {'; '.join(regions)}{ignored}"
        metadata["pred_classes"] = f"{len(classes)} channels, one for each region, by sigmoid"
        pred = metadata["network_data_format"]["outputs"]["pred"]
        pred |= {"num_channels": len(classes), "channel_def": {str(n): name for n, name in enumerate(classes)}}
    else:
        metadata["label_classes"] += ignored


def _dice_of_each(labelling: Labelling) -> Json:
    """Dice of each region in a validation, for its own curve beside that of the mean."""
    ignored = {} if labelling.ignore is None else IGNORED
    return {
        f"val_dice_{name.replace(' ', '_')}": {
            "_target_": "MeanDice",
            "include_background": True,
            "output_transform": {
                "_target_": "components.metrics.RegionPairs",
                "regions": [f"@regions#{place}"],
                **ignored,
            },
        }
        for place, name in enumerate(labelling.regions)
    }


def _after(config: Json, key: str) -> list[str]:
    keys = list(config)
    return keys[keys.index(key) + 1 :]


def _change(node: Json, used: Json, labels: int) -> None:
    kind = kind_of(node)
    if kind == "CheckItemd" and "num_classes" in node:
        node["num_classes"] = labels
    elif kind in ("DiceCELoss", "JointDiceCELoss"):
        _change_loss(node, used)
    elif kind in ("RandPatchd", "ScoreWriter"):
        node |= used
    elif kind == "StrictCheckpointLoader" and "regions" in used:
        node["sigmoid"] = True
    elif kind == "MeanDice":
        pairs = {"regions": [[label] for label in range(1, labels - 1)], **used}
        node.pop("num_classes", None)
        node |= {
            "include_background": True,
            "output_transform": {"_target_": "components.metrics.RegionPairs", **pairs},
        }
    elif kind == "AsDiscreted" and node.get("argmax") and "regions" in used:
        keys = node["keys"]
        node.clear()
        node |= {
            "_target_": "components.transforms.RegionsToLabelsd",
            "keys": keys,
            "order": "@regions_class_order",
        }


def _change_loss(node: Json, used: Json) -> None:
    dropped = ["_target_", "to_onehot_y", "softmax", *(["include_background"] if "regions" in used else [])]
    rest = {key: value for key, value in node.items() if key not in dropped}
    name = "RegionDiceBCELoss" if "regions" in used else "IgnoringDiceCELoss"
    node.clear()
    node |= {"_target_": f"components.losses.{name}", **used, **rest}
