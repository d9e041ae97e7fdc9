"""Settings that must hold before PyTorch and the kernels are imported."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a worker: the threads of several processes would wait for each other on the same cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if not torch.cuda.is_available():
    # Read when a kernel is decorated: without a GPU the Triton kernels then run on CPU tensors, slowly, where forced.
    os.environ.setdefault("TRITON_INTERPRET", "1")
