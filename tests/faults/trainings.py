"""Tiny trainings of two bundles, by the words of their command line."""

import pytest

from tests.bundles.workflow import ROOT, TRAINING, configs, runner

BUNDLES = ("msvm_acdc", "xlstm_endoscopy")
TINY = {
    "msvm_acdc": {"network_def#features": "[8, 16, 32, 64]", "network_def#depths": "[1, 1, 1, 1]"},
    "xlstm_endoscopy": {
        "network_def#features": "[8, 16, 32]",
        "network_def#kernel_sizes": "[3, 3, 3]",
        "network_def#strides": "[1, 2, 2]",
        "loss#weights": "[0.7, 0.3]",
        "patch_size": "[32, 64]",
        "augmented_size": "[32, 64]",
    },
}
SETTINGS = {"max_epochs": 4, "epoch_length": 3, "val_interval": 2, "ema": "true", "ema_momentum": 0.2, "patience": 9}
"""Drop path or dropout, random transforms, average and patience all have a state."""


def words(bundle, data, work, config="train", **overrides):
    """The words after ``python -m`` for a training that leaves models and output in a folder."""
    files = [str(configs(bundle) / f"{name}.json") for name in config.split("+")]
    settings = {
        "config_file": files[0] if len(files) == 1 else files,
        "bundle_root": ROOT / "bundles" / bundle,
        "dataset_dir": data,
        "output_dir": work / "output",
        "ckpt_dir": work / "models",
        "num_workers": 0,
        **TRAINING[bundle],
        **TINY[bundle],
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
