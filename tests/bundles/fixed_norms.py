"""MSVM-UNet without what differs between one process and several on CPUs."""

from torch import nn

from components.networks import MSVMUNet


class FixedNorms(MSVMUNet):
    """No drop path, as it is random; batch normalisation that stays as it is, as PyTorch can share it only on GPUs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs, drop_path_rate=0.0, decoder_drop_path_rate=0.0)

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self
