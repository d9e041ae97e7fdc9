"""What an override of the fold does in the configs."""

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from tests.bundles.workflow import BUNDLES, ROOT, configs


@pytest.fixture
def config(tmp_path):
    """Reads a config of a bundle, for a data set with two folds."""
    items = {name: {"image": f"{name}.nii.gz", "label": f"{name}_l.nii.gz"} for name in "abct"}
    training = [{**items[name], "fold": fold} for name, fold in (("a", 0), ("b", 1), ("c", 0))]
    lists = {"training": training, "validation": [], "test": [items["t"]]}
    (tmp_path / "datalist.json").write_text(json.dumps(lists))

    def read(bundle, name, **overrides):
        parser = ConfigParser()
        parser.read_config(configs(bundle) / f"{name}.json")
        for key, value in {"bundle_root": str(ROOT / "bundles" / bundle), "dataset_dir": str(tmp_path)}.items():
            parser[key] = value
        for key, value in overrides.items():
            parser[key] = value
        return parser

    return read


def cases(parser, key):
    return [Path(item["image"]).name[0] for item in parser.get_parsed_content(key)]


@pytest.mark.parametrize("bundle", BUNDLES)
@pytest.mark.parametrize(("fold", "trained", "held_out"), [(None, "abc", ""), (1, "ac", "b")])
def test_a_fold_has_cases_and_folders_of_its_own(bundle, fold, trained, held_out, config):
    train, evaluate = config(bundle, "train", fold=fold), config(bundle, "evaluate", fold=fold)
    assert "".join(cases(train, "train#dataset#data")) == trained
    assert "".join(cases(train, "validate#dataset#data")) == held_out
    assert "".join(cases(evaluate, "validate#dataset#data")) == (held_out or "t")
    root, own = ROOT / "bundles" / bundle, [] if fold is None else [f"fold_{fold}"]
    for parser in (train, evaluate):
        assert Path(parser.get_parsed_content("ckpt_dir")) == root.joinpath("models", *own)
        assert Path(parser.get_parsed_content("output_dir")) == root.joinpath("output", *own)
    saving = [type(step).__name__ for step in evaluate.get_parsed_content("validate#postprocessing").transforms]
    assert any(name.startswith("Save") for name in saving) == (fold is not None)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_weights_that_are_averaged(bundle, config, tmp_path):
    for name, place in (("evaluate", "validate#handlers#0#load_path"), ("inference", "handlers#0#load_path")):
        plain = config(bundle, name, ckpt_dir=str(tmp_path))
        assert plain.get_parsed_content(place) == [(tmp_path / "model.pt").as_posix()]
        both = config(bundle, name, ckpt_dir=str(tmp_path), folds=[0, 1])
        assert [Path(path).parent.name for path in both.get_parsed_content(place)] == ["fold_0", "fold_1"]
        assert config(bundle, name, weights="a.pt,b.pt").get_parsed_content(place) == ["a.pt", "b.pt"]
