"""Tiny trainings of two bundles, by the words of their command line."""

import pytest

from tests.bundles.workflow import ROOT, TINY, TRAINING, configs, runner

BUNDLES = ("msvm_acdc", "xlstm_endoscopy")
PATCHES = {"msvm": {}, "xlstm": {"patch_size": "[32, 64]", "augmented_size": "[32, 64]"}}
SETTINGS = {"max_epochs": 4, "epoch_length": 3, "val_interval": 2, "ema": "true", "ema_momentum": 0.2, "patience": 9}
"""Drop path or dropout, random transforms, average and patience all have a state."""


def words(bundle, data, work, config="train", **overrides):
    """The words after ``python -m`` for a training that leaves models and output in a folder."""
    files = [str(configs(bundle) / f"{name}.json") for name in config.split("+")]
    family = bundle.partition("_")[0]
    settings = {
        "config_file": files[0] if len(files) == 1 else files,
        "bundle_root": ROOT / "bundles" / bundle,
        "dataset_dir": data,
        "output_dir": work / "output",
        "ckpt_dir": work / "models",
        "num_workers": 0,
        **TRAINING[bundle],
        **TINY[family],
        **PATCHES[family],
        **SETTINGS,
        **overrides,
    }
    return runner("training", settings)


def stop_after(epochs):
    """Code that signals the process when an epoch begins after so many."""
    return f"""
import signal
from ignite.engine import Events
from monai.engines import SupervisedTrainer
init = SupervisedTrainer.__init__
def signalled(self, *arguments, **named):
    init(self, *arguments, **named)
    self.add_event_handler(Events.EPOCH_STARTED(once={epochs + 1}), lambda: signal.raise_signal(signal.SIGTERM))
SupervisedTrainer.__init__ = signalled
"""


def not_by_default(full, chosen):
    """Skip what is not chosen for a run that is to be short."""
    if not full and not chosen:
        pytest.skip("only with --faults-full")
