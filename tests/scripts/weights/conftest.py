"""Checkpoints as they are published, and the commands in this process."""

import re

import pytest
import torch

from scripts.cli import main
from tests.golden import GoldenCase

# The golden xLSTM-UNet is smaller than the bundles': the settings of its plan.
ENDOSCOPY = {
    "class_names": ["a", "b", "c"],
    "patch_size": [64, 96],
    "network_def#features": [32, 64, 128, 256],
    "network_def#kernel_sizes": [3, 3, 3, 3],
    "network_def#strides": [1, 2, 2, 2],
}


@pytest.fixture(scope="session")
def msvm():
    return GoldenCase("msvm_unet_9classes")


@pytest.fixture(scope="session")
def checkpoints(msvm, tmp_path_factory):
    """Folder with a Lightning file, an ImageNet file and an nnU-Net file."""
    folder = tmp_path_factory.mktemp("published")
    adam = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 5e-4, "params": [0]}]}
    lightning = {
        "epoch": 3,
        "pytorch-lightning_version": "2.0.0",
        "state_dict": {f"_model.{name}": tensor for name, tensor in msvm.state.items()},
        "optimizer_states": [adam],
        "hyper_parameters": {"learning_rate": 5e-4, "img_size": [224, 224]},
    }
    torch.save(lightning, folder / "synapse.ckpt")
    torch.save({"model": imagenet(msvm.state), "epoch": 264}, folder / "vssm1_tiny.pth")
    nnunet = {
        "network_weights": GoldenCase("uxlstm_enc_2d").state,
        "optimizer_state": adam,
        "trainer_name": "nnUNetTrainer",
        "init_args": {
            "configuration": "2d",
            "plans": {"configurations": {"2d": {"patch_size": [64, 96]}, "3d_fullres": {"patch_size": [8, 8, 8]}}},
        },
    }
    torch.save(nnunet, folder / "checkpoint_final.pth")
    return folder


def imagenet(state):
    """The encoder of a published MSVM-UNet under the names of VMamba's classifier."""
    renamed = {"classifier.head.weight": torch.zeros(10, 768), "classifier.head.bias": torch.zeros(10)}
    for name, tensor in state.items():
        if name.startswith("encoder."):
            name = re.sub(r"^layer0\.", "patch_embed.", name.removeprefix("encoder."))
            name = re.sub(r"^layer1\.(\d)", lambda found: f"patch_embed.{5 + int(found[1])}", name)
            renamed[re.sub(r"^downsamples\.(\d)\.", r"layers.\1.downsample.", name)] = tensor
    return renamed


@pytest.fixture
def scanseg(capsys):
    """Run a command line in this process: exit status, output and errors."""

    def call(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        told = capsys.readouterr()
        return status, told.out, told.err

    return call
