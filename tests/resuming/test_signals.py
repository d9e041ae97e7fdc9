"""Signals that a training hears, and workers that do not get them."""

import signal
import subprocess
import sys

import pytest

from tests.timeouts import HANG

LEFT = """
from components.resuming.batches import ShelteredLoader
from torch.utils.data import DataLoader
loader = ShelteredLoader(DataLoader(range(100), num_workers=2))
batches = iter(loader)
next(batches)
left = batches  # an error whose traceback lives on holds it, too
raise ValueError('wrong')
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signals can be held back here")
def test_process_with_workers_ends():
    done = subprocess.run([sys.executable, "-c", LEFT], timeout=HANG, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Exception ignored" not in done.stderr
