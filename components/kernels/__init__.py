"""The sequence operators of both networks, each with several interchangeable back ends.

One folder an operator: ``scan`` (selective scan), ``cross_scan`` (selective scan along four paths of an image) and
``matrix_lstm`` (mLSTM cell). In each, ``naive.py`` is the definition that all other back ends are tested against.
"""

from components.kernels.ops import cross_selective_scan, instance_norm, mlstm, selective_scan
from components.kernels.registry import BackendRecord, BackendUnavailableError, backends, use_backend, used_backends

__all__ = [
    "BackendRecord",
    "BackendUnavailableError",
    "backends",
    "cross_selective_scan",
    "instance_norm",
    "mlstm",
    "selective_scan",
    "use_backend",
    "used_backends",
]
