"""The command line as a user types it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.timeouts import HANG

ROOT = Path(__file__).parents[2]


def scanseg(*words, cwd=ROOT):
    """Run ``python -m scripts`` with these words."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "scripts", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8", timeout=HANG)


@pytest.fixture(scope="session")
def run():
    return scanseg


@pytest.fixture(scope="session")
def ct_sample(tmp_path_factory):
    """The sample of msvm_synapse."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    done = scanseg("data", "sample", "--bundle", "msvm_synapse", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert "is ready" in done.stdout
    return folder
