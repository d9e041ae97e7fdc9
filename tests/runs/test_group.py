"""Threads of a process among several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bundles.workflow import ROOT
from tests.timeouts import HANG

BEGIN = """
import atexit, glob, pathlib, runpy, sys, time
import torch
import torch.distributed as dist
group = runpy.run_path(sys.argv[1])
folder, rank, size, how = pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
if how == "prepared":
    group["before_group"]()
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
network = {"parallel": torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))}
network["itself"] = network
"""
ALONE = """
atexit.register(lambda: print(sorted(open(path).read().strip() for path in glob.glob("/proc/self/task/*/comm"))))
network["parallel"](torch.ones(2, 3)).sum().backward()
dist.barrier()
dist.destroy_process_group() if how == "unprepared" else group["end_group"]()
del network
"""
UNDER_WAY = """
ending = folder / "ending"
if rank == 1:
    while not ending.exists():
        time.sleep(0.01)
    time.sleep(1)
    dist.all_reduce(torch.ones(2))
    group["end_group"]()
else:
    work = dist.all_reduce(ones := torch.ones(2), async_op=True)
    del work, ones, network
    group["end_group"]()
    atexit.register(ending.touch)
"""


def start(code, *arguments):
    """A process that has the functions of the module alone, without the imports of its package."""
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code, str(ROOT / "components" / "runs" / "group.py"), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the names of threads are in Linux's /proc")
def test_no_thread_of_gloo_is_left_at_the_end(tmp_path):
    """One that is left while Python ends can abort the process."""
    left = {}
    for how in ("prepared", "unprepared"):
        (tmp_path / how).mkdir()
        process = start(ALONE, tmp_path / how, 0, 1, how)
        left[how], errors = process.communicate(timeout=HANG)
        assert process.returncode == 0, errors
    assert "gloo" in left["unprepared"]
    assert "gloo" not in left["prepared"]


def test_what_is_still_under_way_is_waited_for(tmp_path):
    """A thread that then frees a tensor needs the interpreter's lock, which must not be held by what waits for it."""
    processes = [start(UNDER_WAY, tmp_path, rank, 2, "prepared") for rank in range(2)]
    try:
        said = [process.communicate(timeout=HANG) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
