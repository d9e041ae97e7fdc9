"""Processor, memory, disk and GPUs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from components import machine

from ..errors import UserError
from ..memory import GIB, available
from ..tables import gigabytes
from .finding import NOTE, PROBLEM, Finding

TOPIC = "Machine"
LITTLE_DISK = 5 * GIB
"""Bytes: a training keeps weights and two states, of up to half a gigabyte each, and writes a third state beside."""
FAST = {"AMX": "amx_bf16", "AVX-512 bfloat16": "avx512_bf16"}
"""Units that multiply in bfloat16, and their flag."""


def findings() -> Iterator[Finding]:
    """The processor with its threads, the memory, the disk of the working folder, and each GPU."""
    yield from _processor()
    yield _memory()
    yield _disk()
    yield from _gpus()


def _processor() -> Iterator[Finding]:
    flags, cores = machine.cpu_flags(), machine.cores()
    yield Finding(TOPIC, "CPU", f"{machine.cpu_model()}, {cores} cores, {', '.join(flags) or 'no AVX2'}")
    units = [name for name, flag in FAST.items() if flag in flags]
    text = ", ".join(units) if units else "none: on this CPU --amp true saves memory but little time"
    yield Finding(TOPIC, "bfloat16 units", text)
    threads = torch.get_num_threads()
    if threads > cores:
        text = f"{threads}, more than the {cores} cores: they slow each other down"
        yield Finding(TOPIC, "threads", text, PROBLEM, f"export OMP_NUM_THREADS={cores}")
    elif "OMP_NUM_THREADS" in os.environ and threads < cores:
        text = f"{threads} of {cores}, as OMP_NUM_THREADS says"
        yield Finding(TOPIC, "threads", text, NOTE, "unset OMP_NUM_THREADS if only one process uses the machine")
    else:
        yield Finding(TOPIC, "threads", str(threads))


def _memory() -> Finding:
    total = machine.memory_bytes()
    try:
        free = f"{available()}"
    except UserError:
        free = "the free memory is not known"
    return Finding(TOPIC, "memory", f"{gigabytes(total)} in all; {free}" if total else free)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{gigabytes(free)} free in {Path.cwd()}"
    if free < LITTLE_DISK:
        return Finding(TOPIC, "disk", text, PROBLEM, f"free {gigabytes(LITTLE_DISK)}, or give another --output_dir")
    return Finding(TOPIC, "disk", text)


def _gpus() -> Iterator[Finding]:
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(index)
            text = f"{found.name}, {gigabytes(found.total_memory)}, compute capability {found.major}.{found.minor}"
            yield Finding(TOPIC, f"GPU {index}", text)
    elif shutil.which("nvidia-smi"):
        text = f"there is an NVIDIA driver, but PyTorch {torch.__version__} finds no GPU"
        remedy = "pip install torch from the index that pytorch.org names for the CUDA version of the driver"
        yield Finding(TOPIC, "GPU", text, PROBLEM, remedy)
    else:
        yield Finding(TOPIC, "GPU", "none: everything runs on the CPU", NOTE)
