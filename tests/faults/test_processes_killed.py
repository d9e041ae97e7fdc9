"""Several processes: one is killed and the launcher starts all again, then the launcher is told to end."""

import json

import pytest

from tests.bundles.workflow import python
from tests.faults.trainings import BUNDLES, words
from tests.handlers.outputs import same_files

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=1", "-m")


@pytest.mark.parametrize("bundle", BUNDLES)
def test_processes_that_are_killed_and_ended(samples, bundle, tmp_path, full, tried, monkeypatch):
    if bundle != BUNDLES[0] and not full:
        pytest.skip("one bundle by default; all with --faults-full")
    # Else those that start again look for the others at the addresses of those before, which the launcher still holds.
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    (tmp_path / "disturb.json").write_text(
        json.dumps(
            {
                "+train#handlers": [
                    {"_target_": "tests.faults.disturbing.Disturb", "folder": str(tmp_path), "kill": 5, "end": 8}
                ]
            }
        )
    )
    configs = "train+multi_gpu_train"
    for work in ("whole", "parts"):
        (tmp_path / work).mkdir()
    python(*LAUNCHER, *words(bundle, samples(bundle), tmp_path / "whole", configs), cwd=tmp_path)
    disturbed = words(bundle, samples(bundle), tmp_path / "parts", f"{configs}+{tmp_path / 'disturb'}", resume="auto")
    ended = python(*LAUNCHER, *disturbed, cwd=tmp_path, check=False)
    assert ended.returncode != 0
    assert (tmp_path / "killed").exists()
    assert ended.stdout.count("going on from") == 1  # after the restart
    assert "after iteration 2 of 3 in epoch 3" in ended.stdout
    assert ended.stdout.count("ended by SIGTERM") == 1
    python(*LAUNCHER, *disturbed, cwd=tmp_path)
    same_files(tmp_path / "parts", tmp_path / "whole")
    tried(
        "Several processes",
        f"{bundle}, two processes under torchrun: kill -9 of one, later SIGTERM to the launcher",
        1,
        "the launcher started both again, which went on; after SIGTERM both stopped at the same iteration; in the end "
        "the files were those of an uninterrupted training, bit for bit",
    )
