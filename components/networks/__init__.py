"""The two published networks, and the ways to load weights into them: the authors', or those of another training."""

from .msvm_unet import MSVMUNet
from .pretrained import load_pretrained
from .published import load_published, read_checkpoint
from .xlstm_unet import XLSTMUNet

__all__ = ["MSVMUNet", "XLSTMUNet", "load_pretrained", "load_published", "read_checkpoint"]
