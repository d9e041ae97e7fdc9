"""What a model zoo checks of a bundle, without a network."""

import json
import logging.config
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, load, verify_metadata, verify_net_in_out

from components import __version__
from tests.bundles.workflow import BUNDLES, ROOT, configs, python

pytestmark = pytest.mark.parametrize("bundle", BUNDLES)
SCHEMA = Path(__file__).with_name("meta_schema_20240725.json")
FILES = [
    "LICENSE",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/logging.conf",
    "configs/metadata.json",
    "configs/multi_gpu_train.json",
    "configs/train.json",
    "docs/README.md",
    "docs/data_license.txt",
]


def settings(bundle):
    return {"bundle_root": str(ROOT / "bundles" / bundle), "device": "$torch.device('cpu')"}


def test_files(bundle):
    missing = [name for name in FILES if not (ROOT / "bundles" / bundle / name).is_file()]
    assert not missing


def test_metadata(bundle):
    verify_metadata(meta_file=str(configs(bundle) / "metadata.json"), filepath=str(SCHEMA))
    metadata = json.loads((configs(bundle) / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    assert metadata["version"] == __version__
    classes = json.loads((configs(bundle) / "train.json").read_text())["class_names"]
    assert list(metadata["network_data_format"]["outputs"]["pred"]["channel_def"].values()) == ["background", *classes]


def test_network_takes_and_gives_what_the_metadata_say(bundle):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs(bundle) / "metadata.json"),
        config_file=str(configs(bundle) / "inference.json"),
        device="cpu",
        n=2,
        any=32,
        bundle_root=settings(bundle)["bundle_root"],
    )


@pytest.mark.parametrize(("config", "kind"), [("train", "train"), ("inference", "infer"), ("evaluate", None)])
def test_properties(bundle, config, kind, tmp_path):
    python("-m", "scripts", "data", "sample", "--bundle", bundle, "--out", "data", cwd=tmp_path)
    workflow = ConfigWorkflow(
        dataset_dir=str(tmp_path / "data"),
        config_file=str(configs(bundle) / f"{config}.json"),
        meta_file=str(configs(bundle) / "metadata.json"),
        logging_file=None,
        workflow_type=kind,
        **settings(bundle),
    )
    workflow.initialize()
    assert not workflow.check_properties()
    for id_ in ("run", {"train": "training", "inference": "inferring", "evaluate": "evaluating"}[config]):
        assert workflow.parser.get(id_)


def test_load_gives_the_network_with_the_weights(bundle, tmp_path):
    parser = ConfigParser()
    parser.read_config(configs(bundle) / "inference.json")
    parser["bundle_root"] = settings(bundle)["bundle_root"]
    network = parser.get_parsed_content("network_def")
    folder = tmp_path / bundle
    folder.symlink_to(ROOT / "bundles" / bundle)
    weights = tmp_path / "weights.pt"
    torch.save(network.state_dict(), weights)
    fresh = parser.get_parsed_content("network_def", instantiate=True, eval_expr=True)
    loaded = load(bundle, model=fresh, bundle_dir=str(tmp_path), model_file=str(weights), source="github", repo="a/b/c")
    state = loaded.state_dict() if hasattr(loaded, "state_dict") else loaded
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor), name


def test_logging_uses_only_logging_classes(bundle):
    text = (configs(bundle) / "logging.conf").read_text()
    classes = [line.split("=")[1] for line in text.splitlines() if line.startswith("class=")]
    assert classes
    assert all(hasattr(logging, name) or hasattr(logging.handlers, name) for name in classes)


def test_class_names_are_those_of_the_data(bundle):
    from scripts.data.labels import CLASSES

    config = json.loads((configs(bundle) / "train.json").read_text())
    assert config["class_names"] == list(CLASSES[bundle][1:])
