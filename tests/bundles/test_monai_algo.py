"""A round of federated training of each kind of bundle by MONAI's client."""

import json

import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, WeightType
from monai.fl.utils.exchange_object import ExchangeObject

from scripts.cli import main
from tests.bundles.workflow import KINDS, ROOT, SIZES, TRAINING


def settings(values):
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in values.items()}


@pytest.mark.parametrize("bundle", KINDS)
def test_round(bundle, tmp_path):
    assert main(["data", "sample", "--bundle", bundle, "--out", str(tmp_path / "data")]) == 0
    path = tmp_path / "data" / "datalist.json"
    datalist = json.loads(path.read_text())
    path.write_text(
        json.dumps({part: items[:2] if part == "training" else items[:1] for part, items in datalist.items()})
    )
    places = {"dataset_dir": str(tmp_path / "data"), "output_dir": str(tmp_path), "num_workers": 0, "val_interval": 5}
    algorithm = MonaiAlgo(
        bundle_root=str(ROOT / "bundles" / bundle),
        train_kwargs={**places, **settings(TRAINING[bundle])},
        eval_kwargs={**places, **settings(SIZES[bundle])},
    )
    algorithm.initialize({ExtraItems.CLIENT_NAME: "site"})
    start = {name: value.clone() for name, value in algorithm.trainer.network.state_dict().items()}
    name = next(name for name, value in start.items() if value.ndim > 1)
    start[name] += 1  # so that the received weights can be told from the client's own

    metrics = algorithm.evaluate(ExchangeObject(weights=start)).metrics
    assert torch.equal(algorithm.evaluator.network.state_dict()[name], start[name])
    assert 0 <= metrics["val_mean_dice"] <= 1
    assert json.loads((tmp_path / "metrics.json").read_text())["cases"] == 1

    algorithm.train(ExchangeObject(weights=start))
    result = algorithm.get_weights()
    assert result.weight_type == WeightType.WEIGHT_DIFF
    assert result.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] == 2
    assert result.weights.keys() == start.keys()
    moved = {name for name, difference in result.weights.items() if difference.any()}
    trainable = {name for name, _ in algorithm.trainer.network.named_parameters()}
    assert len(moved & trainable) > 0.9 * len(trainable)
    change = result.weights[name]
    torch.testing.assert_close(algorithm.trainer.network.state_dict()[name], start[name] + change)
    assert change.abs().max() < 0.5
    algorithm.finalize()
