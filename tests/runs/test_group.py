"""Threads of a process among several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles.workflow import ROOT
from tests.timeouts import HANG

TRAINING = """
import atexit
import glob
import sys
import torch
import torch.distributed as dist
from components.runs.group import end_with_group
atexit.register(lambda: print(sorted(open(path).read().strip() for path in glob.glob("/proc/self/task/*/comm"))))
if sys.argv[2] == "prepared":
    end_with_group()
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}/store", rank=0, world_size=1)
network = {"parallel": torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))}
network["itself"] = network
network["parallel"](torch.ones(2, 3)).sum().backward()
dist.barrier()
dist.destroy_process_group()
del network
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the names of threads are in Linux's /proc")
def test_no_thread_of_gloo_is_left_at_the_end(tmp_path):
    """One that is left while Python ends can abort the process."""
    left = {}
    for how in ("prepared", "unprepared"):
        (tmp_path / how).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", TRAINING, str(tmp_path / how), how],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"},
            capture_output=True,
            text=True,
            timeout=HANG,
        )
        assert done.returncode == 0, done.stderr
        left[how] = done.stdout
    assert "gloo" in left["unprepared"]
    assert "gloo" not in left["prepared"]
