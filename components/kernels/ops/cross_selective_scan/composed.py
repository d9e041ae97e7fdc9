"""The four-path scan as four scanned copies of the image and one ``selective_scan`` over all: the definition."""

from __future__ import annotations

import torch
from torch import Tensor

from ...registry import dispatch


def cross_selective_scan(
    x: Tensor,
    x_proj_weight: Tensor,
    dt_projs_weight: Tensor,
    dt_projs_bias: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
    backend: str,
) -> Tensor:
    """See :func:`components.kernels.cross_selective_scan`; ``backend`` names the back end of ``selective_scan``."""
    batch, _, height, width = x.shape
    rank, states = dt_projs_weight.shape[-1], A_logs.shape[-1]
    paths = cross_scan(x)
    projected = torch.einsum("bkcl,kmc->bkml", paths, x_proj_weight)
    dt, B, C = projected.split([rank, states, states], dim=2)
    delta = torch.einsum("bkrl,kcr->bkcl", dt, dt_projs_weight)
    y = dispatch("selective_scan", backend, x.device.type, x.dtype == torch.float64)(
        paths.flatten(1, 2), delta.flatten(1, 2), -torch.exp(A_logs), B, C, Ds, dt_projs_bias.flatten(), True
    )
    return cross_merge(y.reshape(batch, 4, -1, height * width), height, width)


def cross_scan(x: Tensor) -> Tensor:
    """Read an image along the four paths: by rows, by columns, and both backwards.

    Args:
        x: (B, C, H, W).

    Returns:
        (B, 4, C, H·W).
    """
    forwards = torch.stack((x.flatten(2), x.transpose(2, 3).flatten(2)), dim=1)
    return torch.cat((forwards, forwards.flip(-1)), dim=1)


def cross_merge(y: Tensor, height: int, width: int) -> Tensor:
    """Put four sequences back on the grid and add them: the transpose of :func:`cross_scan`.

    Args:
        y: (B, 4, C, H·W).
        height: H.
        width: W.

    Returns:
        (B, C, H, W).
    """
    rows, columns = (y[:, :2] + y[:, 2:].flip(-1)).unbind(1)
    return rows.unflatten(-1, (height, width)) + columns.unflatten(-1, (width, height)).transpose(2, 3)
