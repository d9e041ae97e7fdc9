"""The operators in which the networks spend their time, each with several interchangeable back ends.

One folder an operator, in :mod:`components.kernels.ops`: ``selective_scan``, ``cross_selective_scan`` (selective scan
along four paths of an image), ``mlstm`` (mLSTM cell), ``instance_norm`` and ``depthwise_conv``. In each, ``naive.py``
is the definition that all other back ends are tested against.
"""

from .ops.cross_selective_scan.operator import cross_selective_scan
from .ops.depthwise_conv.operator import depthwise_conv
from .ops.instance_norm.operator import instance_norm
from .ops.mlstm.operator import mlstm
from .ops.selective_scan.operator import selective_scan
from .registry import (
    BackendRecord,
    BackendUnavailableError,
    backends,
    default_backend,
    operators,
    use_backend,
    used_backends,
)

__all__ = [
    "BackendRecord",
    "BackendUnavailableError",
    "backends",
    "cross_selective_scan",
    "default_backend",
    "depthwise_conv",
    "instance_norm",
    "mlstm",
    "operators",
    "selective_scan",
    "use_backend",
    "used_backends",
]
