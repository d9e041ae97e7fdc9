"""Our plans are those of nnU-Net 2.8 for the same fingerprints; benchmarks/nnunet/plans.py measures the file anew."""

import dataclasses
import json
from pathlib import Path

import pytest

from scripts.errors import UserError
from scripts.memory import Memory
from scripts.new.configurations import CONFIGURATIONS, planned
from scripts.new.plan import plan
from scripts.new.presets import PRESETS
from scripts.new.summary import Intensities, Measurement, channel_schemes

FOUND = json.loads((Path(__file__).parent / "nnunet_plans.json").read_text())
NAMES = {"3d": "3d_fullres", "2d": "2d", "3d_lowres": "3d_lowres", "3d_cascade": "3d_fullres"}
"""The cascade has the plan of the full resolution, and is there where the low resolution is."""
SCHEMES = {"CTNormalization": "ct", "ZScoreNormalization": "z-score"}
MEMORY = Memory(8, True, "given")


def measurement(fingerprint):
    rows = [(tuple(size), tuple(spacing)) for count, size, spacing in fingerprint["cases"] for _ in range(count)]
    first = 1 if all(size[0] == 1 for size, _ in rows) else 0  # nnU-Net's pictures have one slice
    return Measurement(
        spatial_dims=3 - first,
        channels=tuple(fingerprint["channels"]),
        modality="",
        classes=tuple(f"class {number}" for number in range(fingerprint["labels"])),
        cases=len(rows),
        shapes=tuple(size[first:] for size, _ in rows),
        spacings=tuple(spacing[first:] for _, spacing in rows),
        kept=fingerprint["kept"],
        intensities=Intensities(-100.0, 300.0, 50.0, 80.0),
        counts={},
        orientations={},
        schemes=channel_schemes(fingerprint["channels"], len(fingerprint["channels"])),
    )


def settings(found):
    """What both plans say, in the words of nnU-Net's."""
    return {
        "patch_size": list(found.patch_size),
        "batch_size": found.batch_size,
        "strides": [list(stride) for stride in found.topology.strides],
        "kernel_sizes": [list(kernel) for kernel in found.topology.kernel_sizes],
        "features_per_stage": list(found.topology.features),
    }


def test_there_are_plans_of_many_kinds():
    assert len(FOUND) >= 30
    assert sum(entry["real"] for entry in FOUND.values()) == 2
    assert all(entry["plans"].keys() == PRESETS.keys() for entry in FOUND.values())


@pytest.mark.parametrize("planner", PRESETS)
@pytest.mark.parametrize("name", FOUND)
def test_the_plan_is_that_of_nnunet(name, planner):
    fingerprint, wanted = FOUND[name]["fingerprint"], FOUND[name]["plans"][planner]
    found = measurement(fingerprint)
    volumes = found.spatial_dims == 3
    configurations = planned(found, MEMORY, "bot", planner) if volumes else ["2d"]
    assert configurations == [
        word for word in CONFIGURATIONS if NAMES[word] in wanted and (word != "3d_cascade" or "3d_lowres" in wanted)
    ]
    for word in configurations:
        ours, theirs = plan(found, MEMORY, configuration=word, planner=planner), wanted[NAMES[word]]
        assert settings(ours) == {key: theirs[key] for key in settings(ours)}
        assert ["SPL".index(axis) for axis in ours.axes] == (wanted["transpose"] if volumes else [])
        schemes = ours.normalisation.channels or (ours.normalisation,) * len(found.channels)
        assert [scheme.kind for scheme in schemes] == [SCHEMES[scheme] for scheme in theirs["normalization_schemes"]]
        assert [scheme.masked for scheme in schemes] == theirs["use_mask_for_norm"]
        if volumes:
            assert [size for size in ours.pixdim if size > 0] == pytest.approx(theirs["spacing"], abs=1e-4)
            assert ours.batch_dice == theirs["batch_dice"]


def test_what_nnunet_would_not_plan_is_refused():
    small, thin = measurement(FOUND["hippocampus"]["fingerprint"]), measurement(FOUND["thin"]["fingerprint"])
    with pytest.raises(UserError, match="plans no low resolution for these data"):
        plan(small, MEMORY, configuration="3d_lowres", planner="default")
    slices = dataclasses.replace(thin, shapes=((1, 256, 256), *thin.shapes[1:]))
    with pytest.raises(UserError, match="single slice, which a 3D network cannot use: give --configuration 2d"):
        plan(slices, MEMORY, planner="default")
    assert planned(slices, MEMORY, "bot", "default") == ["2d"]
    assert plan(slices, MEMORY, configuration="2d", planner="default").pixdim == (-1, 0.9, 0.9)


@pytest.mark.parametrize(("name", "hint"), [("few cases", False), ("abdominal MR", True)])
def test_the_memory_is_an_estimate_beside_a_plan_of_nnunet(name, hint):
    found = plan(measurement(FOUND[name]["fingerprint"]), MEMORY, planner="default")
    (memory,) = (choice for choice in found.choices if choice.name == "memory")
    assert "nnU-Net's default planner" in memory.why
    assert (found.estimate_gib > 8) == hint
    assert ("for a GPU of 8 GB give --memory 8" in memory.why) == hint
