"""The machine code of numba's kernels: compiled in the process, or loaded from the disk."""

import os
import subprocess
import sys

from tests.bundles.workflow import ROOT
from tests.timeouts import HANG

GRADIENTS = """
import torch
from scan_cases import outputs
from test_cross_scan import NAMES, arguments
from components import kernels
from components.kernels.ops.selective_scan.numba_loops import backward
results = outputs(kernels.cross_selective_scan, arguments(2, 32, 2, 2, 2, 16, torch.float32), "numba", names=NAMES)
print(sum(backward.stats.cache_misses.values()))
for name, result in results.items():
    print(name, result.flatten().tolist())
"""


def test_results_are_the_same_to_the_last_bit(tmp_path):
    """Else the first training after an installation is not the one that a later process repeats or resumes."""
    paths = [ROOT, ROOT / "tests" / "kernels"]
    environment = {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "OMP_NUM_THREADS": "1",
    }
    runs = [
        subprocess.run(
            [sys.executable, "-c", GRADIENTS],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=HANG,
        )
        for _ in range(2)
    ]
    (compiled, first), (found, second) = (run.stdout.split("\n", 1) for run in runs)
    assert (compiled, found) == ("1", "0")
    assert first == second
