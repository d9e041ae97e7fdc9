"""The two published networks, and the way to load the authors' checkpoints into them."""

from components.networks.msvm_unet import MSVMUNet
from components.networks.published import load_published, read_checkpoint
from components.networks.xlstm_unet import XLSTMUNet

__all__ = ["MSVMUNet", "XLSTMUNet", "load_published", "read_checkpoint"]
