"""Several processes: one is killed and the launcher starts all again, then the launcher is told to end."""

import json
import signal

import pytest

from tests.bundles.workflow import python
from tests.faults.trainings import BUNDLES, not_by_default, stop_after, words
from tests.outputs import same_files

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=1", "-m")
AREA = "Several processes"


def test_one_of_two_processes_is_killed_then_one_signalled(server, samples, tmp_path, tried):
    """The other one ends with it, or at the same iteration."""
    bundle = BUNDLES[0]
    commands = [
        words(bundle, samples(bundle), tmp_path / work, "train+multi_gpu_train", resume="auto")
        for work in ("whole", "parts")
    ]
    for work in ("whole", "parts"):
        (tmp_path / work).mkdir()
    assert [run.wait() for run in server.together(commands[0], tmp_path, ["", ""])] == [0, 0]

    killed = stop_after(1).replace("signal.SIGTERM", "signal.SIGKILL")
    first, second = server.together(commands[1], tmp_path, ["", killed])
    assert second.wait() == -signal.SIGKILL
    assert first.wait() == 2, first.text()
    assert "Traceback" not in first.text()

    runs = server.together(commands[1], tmp_path, ["", stop_after(2)])
    assert [run.wait() for run in runs] == [143, 143]
    assert ["ended by SIGTERM after iteration 1 of 3 in epoch 3" in run.text() for run in runs] == [True, False]
    assert "resuming from" in runs[0].text()

    assert [run.wait() for run in server.together(commands[1], tmp_path, ["", ""])] == [0, 0]
    same_files(tmp_path / "parts", tmp_path / "whole")
    tried(
        AREA,
        f"{bundle}, two processes: kill -9 of one; later SIGTERM to one",
        1,
        "the other one ended with status 2; after SIGTERM both ended at the same iteration with status 143; in the end "
        "the files were those of an uninterrupted training, bit for bit",
    )


@pytest.mark.parametrize("bundle", BUNDLES)
def test_launcher_starts_again_and_is_ended(samples, bundle, tmp_path, full, tried, monkeypatch):
    not_by_default(full, False)
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
    assert ended.stdout.count("resuming from") == 1  # after the restart
    assert "after iteration 2 of 3 in epoch 3" in ended.stdout
    assert ended.stdout.count("ended by SIGTERM") == 1
    python(*LAUNCHER, *disturbed, cwd=tmp_path)
    same_files(tmp_path / "parts", tmp_path / "whole")
    tried(
        AREA,
        f"{bundle}, two processes under torchrun: kill -9 of one, later SIGTERM to the launcher",
        1,
        "the launcher started both again, which went on; after SIGTERM both stopped at the same iteration; in the end "
        "the files were those of an uninterrupted training, bit for bit",
    )
