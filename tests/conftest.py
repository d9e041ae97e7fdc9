"""Settings that must hold before the kernels are imported."""

import os

import torch

if not torch.cuda.is_available():
    # Read when a kernel is decorated: without a GPU the Triton kernels then run on CPU tensors, slowly, where forced.
    os.environ.setdefault("TRITON_INTERPRET", "1")
