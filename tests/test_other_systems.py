"""What Windows lacks is not asked for: its names are hidden, and everything is imported and begun."""

import os
import subprocess
import sys

from tests.bundles.workflow import ROOT
from tests.timeouts import HANG

WITHOUT_POSIX = """
import importlib
import multiprocessing.popen_fork, multiprocessing.resource_tracker, signal, os, pkgutil, subprocess, sys, tempfile
import filelock, ignite.distributed, matplotlib.pyplot, monai.bundle, monai.engines, numba, torch, torch.distributed
import torch.utils.data, tqdm

for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
    sys.modules[name] = None  # importing it is an ImportError
for name in ("chown", "fork", "geteuid", "getpgid", "getuid", "killpg", "sched_getaffinity", "setsid", "sysconf"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)

import components
import scripts

for package in (components, scripts):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.rpartition(".")[2] in ("__main__", "mamba_ssm", "triton", "isolated"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in OPTIONAL:
                raise

from components import machine
from components.files import write_text
from components.resuming.lock import locked
from components.resuming.signals import Signals, sheltered
from components.runs.excepthook import tell
from scripts.__main__ import main

with locked(["training"]), Signals(), sheltered():
    write_text("training/state.txt", "µ", durable=True)
machine.free_memory_bytes(), machine.memory_bytes()
assert main(["--help"]) == 0
assert main(["data", "sample", "--bundle", "xlstm_cells", "--out", "sample"]) == 0
assert main(["data", "check", "sample", "--processes", "1"]) == 0
print("everything was begun", flush=True)
try:
    raise ValueError("as an error of a run")
except ValueError as error:
    tell(type(error), error, error.__traceback__)  # ends the process
"""
OPTIONAL = {"mlflow", "nvflare", "highdicom", "pydicom", "h5py", "tifffile", "SimpleITK", "monailabel", "selenium"}


def test_nothing_of_posix_is_needed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"OPTIONAL = {OPTIONAL!r}\n{WITHOUT_POSIX}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=HANG,
    )
    assert done.returncode == 2, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert "everything was begun" in done.stdout
    assert done.stderr == "scanseg: as an error of a run\n"
