"""Plans from measurements made by hand."""

import dataclasses

import pytest

from scripts.errors import UserError
from scripts.memory import Memory, xlstm_gib
from scripts.new.frame import slice_order
from scripts.new.plan import plan
from scripts.new.summary import Intensities, Measurement


def measurement(shape, spacing, cases=60, **changes):
    dims = len(shape)
    base = Measurement(
        spatial_dims=dims,
        channels=("image",) if dims == 3 else ("red", "green", "blue"),
        modality="",
        classes=("background", *(f"organ {n}" for n in range(1, 14))),
        cases=cases,
        shapes=(tuple(shape),) * cases,
        spacings=(tuple(spacing),) * cases,
        kept=1.0,
        intensities=Intensities(-100.0, 300.0, 50.0, 80.0),
        counts={},
        orientations={},
    )
    return dataclasses.replace(base, **changes)


def gpu(gib):
    return Memory(gib, True, "given")


def test_abdominal_mr_gets_the_published_plan():
    found = plan(measurement((60, 200, 280), (3.0, 1.19, 1.19)), gpu(11))
    assert found.pixdim == (3.0, 1.19, 1.19)
    assert found.patch_size == (48, 160, 224)
    assert found.batch_size == 2
    assert found.topology.strides == ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    assert found.topology.features == (32, 64, 128, 256, 320, 320)
    assert found.in_plane
    assert found.augmented_size == (48, 263, 263)
    assert found.normalisation.kind == "z-score"
    assert found.axes == "SPL"


def test_endoscopy_gets_the_published_plan():
    frames = measurement((1080, 1920), (1.0, 1.0), cases=1800, classes=("background", *"abcdefg"))
    found = plan(frames, gpu(10))
    assert found.patch_size == (384, 640)
    assert found.topology.features == (32, 64, 128, 256, 512, 512, 512)
    assert found.batch_size == 12
    assert found.degrees == 15


def test_more_memory_never_makes_the_patch_smaller_and_always_holds_the_estimate():
    volumes = measurement((150, 400, 400), (1.5, 0.8, 0.8))
    sizes = []
    for gib in (3, 6, 11, 24, 80):
        found = plan(volumes, gpu(gib))
        assert found.estimate_gib <= gib
        assert found.estimate_gib == pytest.approx(xlstm_gib(found.topology, found.batch_size, 1, 14))
        sizes.append(found.topology.patch_size[0] * found.topology.patch_size[1] * found.topology.patch_size[2])
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)


def test_batch_grows_while_there_is_room_but_shows_five_percent_at_most():
    small = (32, 64, 64)
    many = plan(measurement(small, (1.0, 1.0, 1.0), cases=1000), gpu(11))
    assert many.patch_size == small
    assert many.batch_size > 2
    # 5 % of 60 cases are 3 cases, 5 % of 20 are 1: the smallest batch stays 2.
    assert plan(measurement(small, (1.0, 1.0, 1.0), cases=60), gpu(11)).batch_size == 3
    assert plan(measurement(small, (1.0, 1.0, 1.0), cases=20), gpu(11)).batch_size == 2


def test_float32_needs_more():
    volumes = measurement((150, 400, 400), (1.5, 0.8, 0.8))
    mixed, single = (plan(volumes, Memory(12, mixed, "")) for mixed in (True, False))
    assert mixed.topology.patch_size > single.topology.patch_size


def test_memory_that_is_too_small_is_told():
    with pytest.raises(UserError, match=r"needs about .* GiB, but given: 1.0 GiB: give more with --memory"):
        plan(measurement((60, 200, 280), (3.0, 1.2, 1.2)), gpu(1))
    with pytest.raises(UserError, match=r"MSVM-UNet needs about .* for a batch of 2"):
        plan(measurement((60, 200, 280), (3.0, 1.2, 1.2)), gpu(1), "msvm")


def test_slices_across_another_axis():
    sagittal = measurement((256, 256, 20), (0.7, 0.7, 4.0))
    assert slice_order(sagittal) == (2, 0, 1)
    found = plan(sagittal, gpu(11))
    assert found.axes == "LSP"
    assert found.pixdim == (4.0, 0.7, 0.7)
    assert found.topology.strides[1] == (1, 2, 2)
    assert plan(sagittal, gpu(11), "msvm").axes == "SPL"
    coronal = measurement((256, 20, 256), (0.7, 4.0, 0.7))
    assert plan(coronal, gpu(11)).axes == "PSL"
    assert slice_order(measurement((100, 100, 100), (1.0, 1.0, 1.0))) == (0, 1, 2)


def test_ct_keeps_its_scale_and_everything_else_does_not():
    shape, spacing = (60, 200, 280), (3.0, 1.2, 1.2)
    ct = plan(measurement(shape, spacing, modality="CT"), gpu(11)).normalisation
    assert (ct.kind, ct.low, ct.high, ct.mean, ct.sd) == ("ct", -100.0, 300.0, 50.0, 80.0)
    assert plan(measurement(shape, spacing, modality="MR"), gpu(11)).normalisation.kind == "z-score"
    assert plan(measurement(shape, spacing, modality="MR"), gpu(12), "msvm").normalisation.kind == "minimum-maximum"
    assert plan(measurement((99, 99), (1, 1)), gpu(12), "msvm").normalisation.kind == "8 bit"
    with pytest.raises(UserError, match="the same intensity"):
        plan(measurement(shape, spacing, modality="CT", intensities=None), gpu(11))


@pytest.mark.parametrize(("kept", "masked"), [(0.74, True), (0.75, False)])
def test_empty_margins_are_not_normalised(kept, masked):
    found = plan(measurement((60, 200, 280), (3.0, 1.2, 1.2), kept=kept), gpu(11))
    assert found.normalisation.masked == masked


def test_single_slices_are_not_for_3d():
    slices = measurement((1, 200, 280), (3.0, 1.2, 1.2))
    with pytest.raises(UserError, match="single slice, which a 3D network cannot use"):
        plan(slices, gpu(11))
    assert plan(slices, gpu(12), "msvm").axes == "PLS"


def test_msvm_takes_the_batch_of_the_recipe_where_it_fits():
    volumes = measurement((60, 200, 280), (3.0, 1.2, 1.2))
    assert plan(volumes, gpu(80), "msvm").batch_size == 32
    less = plan(volumes, gpu(6), "msvm")
    assert 2 <= less.batch_size < 32
    assert less.patch_size == (224, 224)


def test_every_setting_has_a_reason():
    for network in ("xlstm", "msvm"):
        found = plan(measurement((60, 200, 280), (3.0, 1.2, 1.2)), gpu(11), network)
        assert {"batch", "memory", "intensities"} <= {choice.name for choice in found.choices}
        assert all(choice.value and choice.why for choice in found.choices)
