"""What glibc does with freed memory, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest

from components.runs.allocator import OWN

# Ten times ten blocks of 24 MB, all freed before the next ten; told are the pages that the last ten needed anew.
PROGRAM = """
import ctypes, resource
from components.runs.allocator import keep_freed_memory

print(keep_freed_memory() if {keep} else False)
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 24 * 2**20
for turn in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [c.malloc(size) for _ in range(10)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks:
        c.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(keep, **environment):
    clean = {name: value for name, value in os.environ.items() if name not in OWN}
    words = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    result = subprocess.run(words, env={**clean, **environment}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    done, faults = result.stdout.split()
    return done == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_pages_are_not_asked_for_again():
    done, kept = run(keep=True)
    _, returned = run(keep=False)
    assert done
    assert kept < 0.1 * returned, (kept, returned)


@pytest.mark.parametrize("name", OWN)
def test_settings_of_the_user_stay(name):
    assert run(keep=True, **{name: "glibc.malloc.arena_max=2" if name == "GLIBC_TUNABLES" else "1048576"})[0] is False
