"""Trainings that are interrupted anywhere, and go on as if they had not been."""

import logging
import os
import re
import signal
import zipfile

import pytest
import torch
from ignite.engine import Events
from ignite.handlers import EarlyStopping, EMAHandler
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.transforms import Compose, RandGaussianNoised, RandLambdad, RandScaleIntensityd
from monai.utils import set_determinism
from torch import nn

from components.handlers import Checkpoints, HistoryWriter
from components.resuming.origin import check_origin, data_set_of
from components.resuming.state_file import StateFile
from tests.outputs import same, same_files

EPOCHS, CASES, BATCH = 4, 6, 2
SCORES = (0.1, 0.3, 0.2, 0.25)


def roll(x):
    """Draws from the generator of the process, as some transforms of users do."""
    return x + torch.rand(1)


class Training:
    """A trainer with random transforms, dropout, average, early stopping, history, and two validation cases."""

    def __init__(self, folder, workers=0, length=None, resume=False, epochs=EPOCHS, seed=5, validate=True):
        set_determinism(seed=seed)
        items = [{"image": torch.full((1, 2), float(n)), "label": torch.full((1,), float(n))} for n in range(CASES)]
        transform = Compose(
            [
                RandGaussianNoised("image", prob=0.7, std=1.0),
                RandScaleIntensityd("image", factors=0.5, prob=0.5),
                RandLambdad("image", func=roll, prob=0.5),
            ]
        )
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        optimizer = torch.optim.AdamW(self.network.parameters(), 0.1)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        self.evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset(items[:2])),
            network=self.network,
        )
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self._score)
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            epoch_length=length,
            train_data_loader=DataLoader(
                Dataset(items, transform), batch_size=BATCH, shuffle=True, num_workers=workers
            ),
            network=self.network,
            optimizer=optimizer,
            loss_function=nn.MSELoss(),
            train_handlers=[
                LrScheduleHandler(scheduler, print_lr=False),
                *([ValidationHandler(1, self.evaluator)] if validate else []),
                HistoryWriter(str(folder / "output"), self.evaluator),
            ],
        )
        self.seen = []
        self.trainer.add_event_handler(
            Events.GET_BATCH_COMPLETED, lambda engine: self.seen.append(engine.state.batch["image"].clone())
        )
        self.checkpoints = Checkpoints(
            str(folder / "models"),
            self.trainer,
            self.evaluator,
            self.network,
            optimizer,
            scheduler,
            ema=EMAHandler(self.network, 0.2, momentum_warmup=1.0, warmup_iters=5),
            early_stop=EarlyStopping(9, lambda engine: engine.state.metrics["score"], self.trainer),
            resume=resume,
            output_dir=str(folder / "output"),
        )

    def _score(self, evaluator):
        score = SCORES[evaluator.state.epoch - 1]
        evaluator.state.metrics["score"] = score
        if score > evaluator.state.best_metric:
            evaluator.state.best_metric, evaluator.state.best_metric_epoch = score, evaluator.state.epoch

    def signalled(self, event, number=signal.SIGTERM, evaluator=False):
        """End it by a signal at an event of the trainer or the evaluator."""
        engine = self.evaluator if evaluator else self.trainer
        engine.add_event_handler(event, lambda: signal.raise_signal(number))
        with pytest.raises(SystemExit) as ended:
            self.checkpoints.run()
        assert ended.value.code == 128 + number
        return self

    def run(self):
        self.checkpoints.run()
        return self


@pytest.fixture(autouse=True)
def _process():
    """Signals and generators as they were."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)
    set_determinism(seed=None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folders of uninterrupted trainings by workers and length of an epoch."""
    made = {}

    def get(workers, length):
        if (workers, length) not in made:
            folder = tmp_path_factory.mktemp("whole")
            made[workers, length] = folder, Training(folder, workers, length).run().seen
        return made[workers, length]

    return get


# Fewer iterations than the loader has batches (3), as many, and more.
@pytest.mark.parametrize(
    ("workers", "length", "iteration"),
    [(0, length, iteration) for length in (2, None, 5) for iteration in range(1, EPOCHS * (length or 3), 2)]
    + [(2, None, 2), (2, None, 5), (2, 5, 14)],
)
def test_interrupted_at_an_iteration(tmp_path, whole, workers, length, iteration):
    expected, batches = whole(workers, length)
    first = Training(tmp_path, workers, length).signalled(Events.ITERATION_STARTED(once=iteration))
    state = torch.load(tmp_path / "models" / "last.pt", weights_only=True)
    assert state["epoch"] * (length or 3) + state["iterations"] == iteration
    second = Training(tmp_path, workers, length, resume="true").run()
    assert [len(first.seen), len(second.seen)] == [iteration, len(batches) - iteration]
    same(first.seen + second.seen, batches)
    same_files(tmp_path, expected)


@pytest.mark.parametrize("epoch", [1, 2, EPOCHS])
@pytest.mark.parametrize("again", [False, True])
def test_interrupted_in_a_validation(tmp_path, whole, caplog, epoch, again):
    """The signal comes in the first of two cases; the second validation may be interrupted, too."""
    expected, _ = whole(0, None)
    begin = Events.ITERATION_STARTED(event_filter=lambda e, _: e.state.epoch == epoch and e.state.iteration == 1)
    Training(tmp_path).signalled(begin, signal.SIGINT, evaluator=True)
    assert f"ended by SIGINT in the validation of epoch {epoch}: {tmp_path / 'models' / 'last.pt'}" in caplog.text
    if again:
        Training(tmp_path, resume="true").signalled(begin, evaluator=True)
    rest = Training(tmp_path, resume="true").run()
    assert len(rest.seen) == 3 * (EPOCHS - epoch)
    same_files(tmp_path, expected)


def test_signal_at_the_very_end_changes_nothing(tmp_path, whole):
    training = Training(tmp_path)
    training.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=EPOCHS), lambda: signal.raise_signal(signal.SIGTERM))
    training.run()
    same_files(tmp_path, whole(0, None)[0])


def test_line_says_how_to_go_on(tmp_path, caplog):
    Training(tmp_path).signalled(Events.ITERATION_STARTED(once=5))
    (line,) = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert line == (
        f"ended by SIGTERM after iteration 2 of 3 in epoch 2: {tmp_path / 'models' / 'last.pt'} holds the progress "
        "so far; --resume true continues from it"
    )


def test_other_iterations_begin_the_epoch_again(tmp_path, caplog):
    Training(tmp_path, length=3).signalled(Events.ITERATION_STARTED(once=5))
    assert len(Training(tmp_path, length=2, resume="true").run().seen) == 2 * 3
    assert "last.pt has a different number of iterations: epoch 2 is repeated" in caplog.text


def test_auto_starts_goes_on_and_leaves_what_is_complete(tmp_path, whole, caplog):
    caplog.set_level(logging.INFO)
    Training(tmp_path, resume="auto").signalled(Events.ITERATION_STARTED(once=7))
    assert len(Training(tmp_path, resume="auto").run().seen) == 3 * EPOCHS - 7
    same_files(tmp_path, whole(0, None)[0])
    before = (tmp_path / "models" / "last.pt").read_bytes()
    assert Training(tmp_path, resume="auto").run().seen == []
    assert "nothing to do" in caplog.text
    assert (tmp_path / "models" / "last.pt").read_bytes() == before


def test_final_weights_that_a_crash_prevented(tmp_path):
    """Without validation they are written after the last state."""
    Training(tmp_path, validate=False).run()
    expected = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    (tmp_path / "models" / "model.pt").unlink()
    assert Training(tmp_path, validate=False, resume="auto").run().seen == []
    same(torch.load(tmp_path / "models" / "model.pt", weights_only=True), expected)


def test_unknown_word_for_resume(tmp_path):
    with pytest.raises(ValueError, match=re.escape("unknown resume 'aut', did you mean 'auto'?")):
        Training(tmp_path, resume="aut")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "gone"])
def test_state_before_the_damaged_one(tmp_path, whole, caplog, damage):
    first = Training(tmp_path)
    first.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=3), first.trainer.terminate)
    first.run()
    last, previous = tmp_path / "models" / "last.pt", tmp_path / "models" / "last.previous.pt"
    content = last.read_bytes()
    if damage == "cut":
        last.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        place = data_of(last)
        last.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    elif damage == "empty":
        last.write_bytes(b"")
    else:
        last.unlink()
    kept = previous.read_bytes()
    rest = Training(tmp_path, resume="true")
    rest.trainer.add_event_handler(
        Events.EPOCH_STARTED(once=4), lambda: unchanged.append(previous.read_bytes() == kept)
    )
    unchanged = []
    rest.run()
    assert len(rest.seen) == 3 * (EPOCHS - 2)
    assert unchanged == [True]  # the damaged one does not take the place of the one before
    lines = [record.message for record in caplog.records if "resuming from the state before it" in record.message]
    assert len(lines) == 1
    assert str(last) in lines[0]
    same_files(tmp_path, whole(0, None)[0])


def data_of(path):
    """A byte of a tensor in the file."""
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    return largest.header_offset + len(largest.FileHeader()) + 200


def test_both_damaged(tmp_path):
    Training(tmp_path, epochs=2).run()
    for name in ("last.pt", "last.previous.pt"):
        (tmp_path / "models" / name).write_bytes(b"PK nothing")
    for resume in ("true", "auto"):
        with pytest.raises(ValueError, match=r"damaged: .*last.pt .*and .*last.previous.pt .*start again") as error:
            Training(tmp_path, resume=resume).run()
        assert "\n" not in str(error.value)


def test_state_of_another_network(tmp_path):
    Training(tmp_path, epochs=1).run()
    other = Training(tmp_path, resume="true")
    other.network.add_module("more", nn.Linear(1, 1))
    told = (
        r"last.pt is from another network: (\w+) with (\d+) tensors, but this training has \1 with \d+; 2 differ, such "
        r"as more.weight \(none there, 1 × 1 here\): continue with the settings"
    )
    with pytest.raises(ValueError, match=told) as error:
        other.run()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("known", [True, False])
def test_state_of_another_optimizer(tmp_path, known):
    Training(tmp_path, epochs=1).run()
    last = tmp_path / "models" / "last.pt"
    state = torch.load(last)
    begun = state["origin"]["optimizer"]
    if not known:  # as older versions wrote it
        del state["origin"]
        torch.save(state, last)
    other = Training(tmp_path, resume="true")
    kind = torch.optim.RMSprop
    assert begun != kind.__name__
    other.checkpoints.state.optimizer = kind(other.network.parameters())
    told = f"from a training with {begun}, but this one has RMSprop: continue with {begun}"
    with pytest.raises(ValueError, match=told if known else "another optimizer, .*but this one has RMSprop with alpha"):
        other.run()


def test_state_of_an_optimizer_of_other_parameters(tmp_path):
    Training(tmp_path, epochs=1).run()
    other = Training(tmp_path, resume="true")
    first, *others = other.network.parameters()
    kind = type(other.checkpoints.state.optimizer)
    other.checkpoints.state.optimizer = kind([{"params": [first]}, {"params": others}], lr=0.1)
    with pytest.raises(ValueError, match=rf"of \d+ parameters, but this training has 1 \+ {len(others)}"):
        other.run()


def test_data_sets_are_told_apart_wherever_they_are(tmp_path):
    def items(folder, names):
        return [{"image": f"{folder}/images/{name}", "label": f"{folder}/labels/{name}", "fold": 0} for name in names]

    def known(*arguments):
        return data_set_of(DataLoader(Dataset(items(*arguments))))

    here = known("/data/spleen", ["a.png", "b.png"])
    assert here == {"name": "spleen", "items": 2, "sha256": here["sha256"]}
    assert known("/elsewhere/spleen", ["b.png", "a.png"])["sha256"] == here["sha256"]
    assert known("/data/spleen", ["a.png", "c.png"])["sha256"] != here["sha256"]
    assert data_set_of(DataLoader(Dataset([{"image": torch.zeros(1)}]))) is None
    assert data_set_of(DataLoader([1, 2])) is None
    state = {"network": {}, "origin": {"network": "Identity", "optimizer": "SGD", "data": here}}
    now = {"network": "Identity", "optimizer": "SGD", "data": known("/data/liver", ["a.png"])}
    told = (
        r"on 2 items of spleen \(list \w{8}\), but this one has 1 items of liver \(list \w{8}\): give the --dataset_dir"
    )
    with pytest.raises(ValueError, match=told):
        check_origin(state, nn.Identity(), now, tmp_path / "last.pt")


def test_new_training_does_not_fall_back_on_an_old_one(tmp_path, caplog):
    Training(tmp_path).run()
    second = Training(tmp_path, epochs=1, seed=6)
    second.run()
    assert "of an earlier training will be replaced after the first epoch" in caplog.text
    assert not (tmp_path / "models" / "last.previous.pt").exists()


def test_previous_state_costs_no_second_copy(tmp_path):
    file = StateFile(tmp_path)
    states = [{"network": {}, "optimizer": {}, "epoch": epoch} for epoch in (1, 2, 3)]
    file.save(states[0])
    number = file.path.stat().st_ino
    file.save(states[1])
    assert file.previous.stat().st_ino == number
    os.link(file.path, file.previous.with_name("again"))
    os.replace(file.previous.with_name("again"), file.previous)  # as after a crash between the two names
    file.save(states[2])
    assert [StateFile(tmp_path).load()["epoch"], torch.load(file.previous)["epoch"]] == [3, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.previous.pt", "last.pt"]


def test_previous_state_without_hard_links(tmp_path, monkeypatch):
    def refuse(*names):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = StateFile(tmp_path)
    for epoch in (1, 2):
        file.save({"network": {}, "optimizer": {}, "epoch": epoch})
    assert [torch.load(path)["epoch"] for path in (file.path, file.previous)] == [2, 1]


def test_other_files_are_no_states(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="it does not hold the state of a training"):
        StateFile(tmp_path).load()


def test_folder_is_free_after_a_training(tmp_path):
    Training(tmp_path, epochs=1).run()
    with pytest.raises(ValueError, match="has 1 epochs already"):
        Training(tmp_path, epochs=1, resume="true").run()
    Training(tmp_path, epochs=1).run()
