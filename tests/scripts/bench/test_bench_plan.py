"""Which batches fit."""

import pytest
from bench_records import row

from scripts.bench import plan
from scripts.bench.bundles import RECIPES, config
from scripts.memory import GIB, Memory, bundle_gib, largest_batch, msvm_gib, xlstm_gib
from scripts.new.topology import topology


@pytest.mark.parametrize("bundle", RECIPES)
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("gib", [4.0, 16.0, 80.0])
def test_largest_batch_fits_and_the_next_does_not(bundle, mixed, gib):
    _, content = config(bundle)
    batch = largest_batch(content, mixed, gib)
    assert bundle_gib(content, batch, mixed) <= gib or batch == 0
    assert bundle_gib(content, batch + 1, mixed) > gib


def test_memory_is_that_of_the_planner():
    _, mri = config("xlstm_abdomen_mri_3d")
    found = topology([3.0, 1.19, 1.19], [48, 160, 224])
    assert bundle_gib(mri, 2, True) == xlstm_gib(found, 2, 1, 14, mixed=True, variant="bot")
    _, synapse = config("msvm_synapse")
    assert bundle_gib(synapse, 3, False) == msvm_gib((224, 224), 3)


def test_every_bundle_is_planned():
    (found,) = plan.tables(Memory(16.0, False, "some memory"))
    assert {line[0] for line in found.rows} == set(RECIPES)
    assert "some memory: 16.0 GiB" in found.about
    tiny = next(plan.tables(Memory(1.0, False, "some memory")))
    assert {line[4] for line in tiny.rows} == {"none"}


def test_measured_steps_and_peaks():
    overrides = {"batch_size": 4, "amp": False}
    peaks = {1: 1 * GIB, 2: 3 * GIB, 4: 5 * GIB}  # on the line through the ends: 1 + 4/3 (batch − 1) GiB
    rows = [
        row("pipeline/msvm_acdc", "msvm_acdc", "cache_rate 0", step_seconds=[9.0, 2.0, 3.0], overrides=overrides),
        *(row("memory/msvm", "MSVM-UNet", "", mode="inference", batch=b, peak_bytes=p) for b, p in peaks.items()),
        row("memory/msvm", "MSVM-UNet", "", mode="training", batch=1, peak_bytes=GIB),
        row("memory/msvm", "MSVM-UNet", "", mode="training", batch=2, failed="too large"),
    ]
    estimated, measured = plan.tables(Memory(8.0, False, "some memory"), rows)
    steps = {line[0]: line[5] for line in estimated.rows if "float32" in line[2]}
    assert steps["msvm_acdc"] == "3.00 s, batch of 4"
    assert steps["msvm_synapse"] == ""
    assert measured.rows == [("MSVM-UNet", "inference", "1: 1.07 GB, 4: 5.37 GB", "6")]
