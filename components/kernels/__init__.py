"""The operators in which the networks spend their time, each with several interchangeable back ends.

One folder an operator: ``scan`` (selective scan), ``cross_scan`` (selective scan along four paths of an image),
``matrix_lstm`` (mLSTM cell), ``norm`` (instance norm) and ``depthwise`` (depthwise convolution). In each,
``naive.py`` is the definition that all other back ends are tested against.
"""

from components.kernels.ops import cross_selective_scan, depthwise_conv, instance_norm, mlstm, selective_scan
from components.kernels.registry import BackendRecord, BackendUnavailableError, backends, use_backend, used_backends

__all__ = [
    "BackendRecord",
    "BackendUnavailableError",
    "backends",
    "cross_selective_scan",
    "depthwise_conv",
    "instance_norm",
    "mlstm",
    "selective_scan",
    "use_backend",
    "used_backends",
]
