"""Which batches fit."""

import pytest

from scripts.bench.bundles import config
from scripts.bench.plan import table
from scripts.bundle.find import bundle_names
from scripts.memory import Memory, bundle_gib, largest_batch, msvm_gib, xlstm_gib
from scripts.new.topology import topology

BUNDLES = bundle_names("train.json")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_largest_batch_fits_and_the_next_does_not(bundle):
    _, content = config(bundle)
    for gib in (4.0, 16.0, 80.0):
        for mixed in (False, True):
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
    found = table(Memory(16.0, False, "some memory"), BUNDLES)
    assert {line[0] for line in found.rows} == set(BUNDLES)
    assert "some memory: 16.0 GiB" in found.about
    assert {line[4] for line in table(Memory(1.0, False, "some memory"), BUNDLES).rows} == {"none"}
