"""What a site runs: rounds of training by MONAI's ``MonaiAlgo``, with the weights that the server sends.

NVIDIA FLARE starts this file as a script on every site. In each round the site validates the common weights on its own
validation list, trains them on its training list, and sends weights, score and number of iterations.
"""

from __future__ import annotations

import argparse
import json
import os
from numbers import Number
from urllib.parse import unquote

import nvflare.client as flare
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject
from nvflare.apis.fl_constant import FLMetaKey

DATASET_DIR = "SCANSEG_DATASET_DIR"
"""Environment variable that names the data of a site, where the job does not."""


def main() -> None:
    """Take part until the server ends the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=unquote, required=True)
    parser.add_argument("--dataset_dir", type=unquote, default=os.environ.get(DATASET_DIR))
    parser.add_argument("--output_dir", type=unquote, default="output")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--settings", type=lambda text: json.loads(unquote(text)), default={})
    arguments = parser.parse_args()
    if not arguments.dataset_dir:
        parser.error(f"the data of this site are not given: set the environment variable {DATASET_DIR} for its client")
    flare.init()
    algorithm = make_algorithm(arguments)
    algorithm.initialize({ExtraItems.CLIENT_NAME: flare.get_site_name()})
    while flare.is_running():
        if (received := flare.receive()) is None:
            break
        flare.send(train_round(algorithm, received))
    algorithm.finalize()


def make_algorithm(arguments: argparse.Namespace) -> MonaiAlgo:
    """The bundle as MONAI's federated algorithm, which validates on the validation list."""
    settings = {
        "bundle_root": arguments.bundle,
        "dataset_dir": arguments.dataset_dir,
        "output_dir": arguments.output_dir,
        **arguments.settings,
    }
    return MonaiAlgo(
        bundle_root=arguments.bundle,
        local_epochs=arguments.epochs,
        send_weight_diff=False,
        train_kwargs=dict(settings),
        config_evaluate_filename="configs/train.json",  # its validation list: the test list selects no model
        eval_kwargs=dict(settings),
    )


def train_round(algorithm: MonaiAlgo, received: flare.FLModel) -> flare.FLModel:
    """Validate the weights that were received, train on, and give what to send back."""
    weights = ExchangeObject(weights={name: torch.as_tensor(value) for name, value in received.params.items()})
    metrics = algorithm.evaluate(weights).metrics or {}
    algorithm.train(weights)
    trained = algorithm.get_weights()
    return flare.FLModel(
        params={name: value.cpu() for name, value in trained.weights.items()},
        params_type=flare.ParamsType.FULL,
        metrics={name: float(value) for name, value in metrics.items() if isinstance(value, Number)} or None,
        meta={FLMetaKey.NUM_STEPS_CURRENT_ROUND: trained.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS]},
    )


if __name__ == "__main__":
    main()
