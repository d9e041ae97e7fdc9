"""What the metadata of the bundles say agrees with their configs and data. The checks of a zoo are in scripts/zoo."""

import json

import pytest

from components import __version__
from scripts.data.labels import CLASSES
from tests.bundles.workflow import BUNDLES, configs

pytestmark = pytest.mark.parametrize("bundle", BUNDLES)


def read(bundle, name):
    return json.loads((configs(bundle) / f"{name}.json").read_text())


def test_version_is_that_of_the_components(bundle):
    assert read(bundle, "metadata")["version"] == __version__


def test_channels_are_the_classes(bundle):
    channels = read(bundle, "metadata")["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values()) == ["background", *read(bundle, "train")["class_names"]]


@pytest.mark.parametrize("config", ["train", "evaluate", "inference"])
def test_class_names_are_those_of_the_data(bundle, config):
    assert read(bundle, config)["class_names"] == list(CLASSES[bundle][1:])


def test_several_processes_have_configs(bundle):
    assert (configs(bundle) / "multi_gpu_train.json").is_file()
    assert (configs(bundle) / "multi_gpu_evaluate.json").is_file()
