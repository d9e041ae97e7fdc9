"""Shared code of the scanseg bundles: networks, kernels, blocks, transforms, metrics and handlers.

Importing this package imports none of the optional back ends (numba, triton, mamba_ssm, mlstm_kernels).
"""

from .versions import require

__version__ = "0.1.0"

__all__ = ["require"]
