"""The two published networks, and the way to load the authors' checkpoints into them."""

from .msvm_unet import MSVMUNet
from .published import load_published, read_checkpoint
from .xlstm_unet import XLSTMUNet

__all__ = ["MSVMUNet", "XLSTMUNet", "load_published", "read_checkpoint"]
