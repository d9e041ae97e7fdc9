"""Trainings that are killed, signalled or disturbed, and what the one that goes on from them makes of it."""

import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

from components.resuming.state_file import StateFile
from tests.faults.trainings import BUNDLES, not_by_default, stop_after, words
from tests.folders import folder
from tests.outputs import same, same_files

AREA = "Interrupted trainings"
SLOW = """
import os, time
fsync = os.fsync
os.fsync = lambda number: (time.sleep(0.05), fsync(number))
"""
"""Makes the moments longer in which files are written, so that more kills fall into them."""


@pytest.fixture(params=BUNDLES, scope="module")
def bundle(request):
    return request.param


@pytest.fixture(scope="module")
def whole(server, samples, bundle, tmp_path_factory):
    """Runs an uninterrupted training with so many workers once; its folder, and the seconds that it took."""
    made = {}
    with folder(tmp_path_factory, f"whole_{bundle}") as work:

        def get(workers=0):
            if workers not in made:
                (work / str(workers)).mkdir()
                run = server.start(words(bundle, samples(bundle), work / str(workers), num_workers=workers), work, SLOW)
                begin = time.monotonic()  # the server has its imports now
                assert run.wait() == 0, run.text()
                made[workers] = work / str(workers), time.monotonic() - begin
            return made[workers]

        yield get


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_random_moments(server, samples, bundle, whole, tmp_path, full, tried, workers):
    not_by_default(full, (bundle, workers) in zip(BUNDLES, (2, 0), strict=True))
    expected, seconds = whole(workers)
    draw = random.Random(f"{bundle} {workers}")
    wanted = 20 if full else 2
    kills, begun, killed, written = 0, 0, 0, 0
    while kills < wanted:
        work = tmp_path / str(begun)
        begun += 1
        work.mkdir()
        status, before = None, kills
        while status is None:
            run = server.start(words(bundle, samples(bundle), work, resume="auto", num_workers=workers), work, SLOW)
            if kills < wanted:
                wait(run, draw.uniform(0, seconds))
            else:
                run.wait()
            status = run.poll()
            if status is None:
                run.kill()
                kills += 1
                written += any(work.rglob(".partial.*"))
        assert status == 0, run.text()
        same_files(work, expected)
        assert not list(work.rglob(".partial.*"))
        killed += kills > before
        shutil.rmtree(work)
    tried(
        AREA,
        f"{bundle}, {workers} loader workers: kill -9 at a random moment, then --resume auto",
        kills,
        f"all {killed} trainings ended with the weights, state and history of an uninterrupted one, bit for bit; "
        f"{written} of the kills fell into the writing of a file",
    )


def wait(run, seconds):
    end = time.monotonic() + seconds
    while run.poll() is None and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("sent", "workers"), [(signal.SIGTERM, 2), (signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGINT, 2)]
)
def test_signal(server, samples, bundle, whole, tmp_path, full, tried, sent, workers):
    """With workers all processes of the training get the signal, as from a terminal or a batch system."""
    not_by_default(full, (bundle, sent, workers) in ((BUNDLES[0], signal.SIGTERM, 2), (BUNDLES[1], signal.SIGINT, 0)))
    expected, seconds = whole(workers)
    draw = random.Random(f"{bundle} {workers} {sent}")
    times, stopped = 5 if full else 1, 0
    while stopped < times:
        work = tmp_path / str(stopped)
        work.mkdir()
        command = words(bundle, samples(bundle), work, resume="auto", num_workers=workers)
        run = server.start(command, work, SLOW)
        run.wait_for("Engine run")
        wait(run, draw.uniform(0, seconds / 3))
        run.send(sent, group=workers > 0)
        if run.wait() == 128 + sent:
            (line,) = re.findall(rf"ended by {sent.name} .*", run.text())
            assert line.endswith("--resume true continues from it")
            assert "Traceback" not in run.text()
            stopped += 1
            run = server.start(command, work, SLOW)
            assert run.wait() == 0, run.text()
            same_files(work, expected)
        else:
            assert "Epoch[4] Complete" in run.text(), run.text()  # the signal came after the training
        shutil.rmtree(work)
    to = "the training and its loader's workers" if workers else "the training"
    tried(
        AREA,
        f"{bundle}: {sent.name} to {to} at a random moment, then --resume auto",
        times,
        f"ended with status {128 + sent} and one line, then with the files of an uninterrupted training, bit for bit",
    )


def test_second_signal_ends_at_once(server, samples, tmp_path, tried):
    """The first one cannot be heard, as an iteration takes a minute."""
    prelude = """
import time
from monai.engines import SupervisedTrainer
SupervisedTrainer._iteration = lambda *arguments: (print("slow", flush=True), [time.sleep(0.1) for _ in range(600)])
"""
    run = server.start(words("msvm_acdc", samples("msvm_acdc"), tmp_path), tmp_path, prelude)
    run.wait_for("slow")
    begin = time.monotonic()
    run.send(signal.SIGINT)
    wait(run, 2.5)
    assert run.poll() is None
    run.send(signal.SIGINT)
    assert run.wait() == 130
    assert time.monotonic() - begin < 30
    assert not list((tmp_path / "models").glob("*.pt"))
    tried(AREA, "SIGINT twice during an iteration of a minute", 1, "the second one ended it at once, with status 130")


def test_clock_that_jumps(server, samples, bundle, whole, tmp_path, full, tried):
    """Each look at the clock jumps by up to a day, forwards or back; in the training and in the one that goes on."""
    prelude = """
import random, time
draw, real = random.Random(1), time.time
time.time = lambda: real() + draw.uniform(-86400, 86400)
time.time_ns = lambda: int(time.time() * 1e9)
"""
    not_by_default(full, bundle == BUNDLES[1])
    expected, _ = whole()
    for epochs in (2, 4):
        run = server.start(
            words(bundle, samples(bundle), tmp_path, resume="auto", max_epochs="4"),
            tmp_path,
            prelude + stop_after(epochs),
        )
        assert run.wait() == (143 if epochs == 2 else 0), run.text()
    same_files(tmp_path, expected)
    tried(AREA, f"{bundle}: a clock that jumps by up to a day at each look", 2, "the same files, bit for bit")


def test_damaged_state(server, samples, bundle, whole, tmp_path, full, tried):
    """A bit is flipped, or the file is cut, anywhere; the state that is read is whole all the same."""
    not_by_default(full, bundle == BUNDLES[0])
    expected, _ = whole()
    models = tmp_path / "models"
    shutil.copytree(expected / "models", models)
    last, before = (StateFile(models), StateFile(models))
    before.path.unlink()
    states = {"last": StateFile(expected / "models").load(), "before": before.load()}
    content = (expected / "models" / "last.pt").read_bytes()
    draw = random.Random(bundle)
    found = {"last": 0, "before": 0}
    times = 200 if full else 20
    for number in range(times):
        place = draw.randrange(len(content))
        flipped = bytes([content[place] ^ (1 << draw.randrange(8))])
        last.path.write_bytes(content[:place] + (flipped + content[place + 1 :] if number % 2 else b""))
        state = last.load()
        which = "last" if state["epoch"] == 4 else "before"
        same(state, states[which])
        found[which] += 1
    assert found["before"] >= times // 2  # a flipped bit between the parts of the file does no harm
    tried(
        "Damaged files",
        f"{bundle}: last.pt cut, or with a flipped bit, at a random place",
        times,
        f"{found['before']} times the state before it was read, with a warning that names the file; {found['last']} "
        "times the bit was where nothing is stored, and last.pt was read",
    )
    shutil.copytree(expected / "output", tmp_path / "output")
    last.path.write_bytes(content[:-1000])
    run = server.start(words(bundle, samples(bundle), tmp_path, resume="true"), tmp_path)
    assert run.wait() == 0, run.text()
    assert len(re.findall(r"damaged: .*last.pt \(.*resuming from the state before it", run.text())) == 1
    same_files(tmp_path, expected)


def test_two_trainings_in_one_folder(server, samples, tmp_path, tried):
    prelude = stop_after(0).replace(
        "signal.raise_signal(signal.SIGTERM)", "(print('begun', flush=True), signal.pause())"
    )
    data = samples("msvm_acdc")
    first = server.start(words("msvm_acdc", data, tmp_path), tmp_path, prelude)
    first.wait_for("begun")
    for same_one in ("output", "models"):
        other = tmp_path / same_one / "other"
        other.mkdir(parents=True)
        kept = {"output": "output_dir", "models": "ckpt_dir"}[same_one]
        second = server.start(words("msvm_acdc", data, other, **{kept: tmp_path / same_one}), other)
        assert second.wait() == 2, second.text()
        assert f"process {first.number} on " in second.text()
        assert f"is training in {tmp_path / same_one}: wait until it ends" in second.text()
        assert "Traceback" not in second.text()
    first.kill()
    third = server.start(words("msvm_acdc", data, tmp_path, max_epochs=1), tmp_path)
    assert third.wait() == 0, third.text()
    tried(
        AREA,
        "a second training in the output_dir or the ckpt_dir of one that runs",
        2,
        "refused with status 2 and a line that names process and folder; free again when the first was killed",
    )


@pytest.fixture
def disk(tmp_path):
    """Mounts a disk in memory of a size, or changes it: ``disk("size=1m")``, ``disk("remount,ro")``."""
    path = tmp_path / "disk"
    path.mkdir()
    if os.name == "nt" or os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
        return path

    yield mount
    subprocess.run(["umount", path], capture_output=True)


@pytest.mark.parametrize("folder_on_disk", ["ckpt_dir", "output_dir"])
def test_full_and_read_only_disk(server, samples, bundle, whole, tmp_path, disk, full, tried, folder_on_disk):
    """The disk is full in the second epoch; with more room the training goes on from the first."""
    not_by_default(full, (bundle, folder_on_disk) in zip(BUNDLES, ("ckpt_dir", "output_dir"), strict=True))
    expected, _ = whole()
    name = {"ckpt_dir": "models", "output_dir": "output"}[folder_on_disk]
    states = sum((expected / "models" / file).stat().st_size for file in ("model.pt", "last.pt"))
    size = int(1.4 * states) if name == "models" else 1 << 16
    path = disk(f"size={size}")
    (tmp_path / name).symlink_to(path)
    run = server.start(
        words(bundle, samples(bundle), tmp_path), tmp_path, FILL.format(path) if name == "output" else ""
    )
    assert run.wait() == 2, run.text()
    line = told(run)
    assert re.search(r"cannot be written: no space left on device, [\d,]+ bytes are free in .*; make room there", line)
    assert StateFile(tmp_path / "models").load()["epoch"] == 1
    assert not list(tmp_path.rglob(".partial*"))

    disk("remount,ro")
    run = server.start(words(bundle, samples(bundle), tmp_path, resume="true"), tmp_path)
    assert run.wait() == 2, run.text()
    assert "cannot be written: read-only file system" in told(run)

    disk("remount,rw,size=64m")
    (path / "filler").unlink(missing_ok=True)
    run = server.start(words(bundle, samples(bundle), tmp_path, resume="true"), tmp_path)
    assert run.wait() == 0, run.text()
    same_files(tmp_path, expected)
    tried(
        "Full and read-only disks",
        f"{bundle}: {folder_on_disk} is full in the second epoch, then read-only, then has room",
        1,
        "twice status 2 and a line that says where, why and how many bytes are free; the state of the first epoch "
        "stayed whole, and the training that went on from it left the files of an uninterrupted one, bit for bit",
    )


FILL = """
from components.handlers import HistoryWriter
end = HistoryWriter._end_epoch
def fill(self, engine):
    if engine.state.epoch == 2:
        try:
            with open("{}/filler", "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        except OSError:
            pass
    end(self, engine)
HistoryWriter._end_epoch = fill
"""


def told(run):
    """The one line of an error."""
    assert "Traceback" not in run.text()
    (line,) = (line for line in run.text().splitlines() if line.startswith("scanseg: "))
    return line
