"""History, freezing and progress on tiny trainers."""

import csv
import io

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import CheckpointLoader, LrScheduleHandler, ValidationHandler
from torch import nn

from components.handlers import FreezeEncoder, HistoryWriter, Progress
from components.handlers.output import first_loss


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(2, 3)
        self.decoder = nn.Linear(3, 1)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def validator():
    """An evaluator with a scalar and a non-scalar metric; the scalar counts the validations."""
    loader = torch.utils.data.DataLoader([{"image": torch.zeros(2)}])
    engine = SupervisedEvaluator(device=torch.device("cpu"), val_data_loader=loader, network=nn.Identity())
    runs = iter(range(1, 100))

    @engine.on(Events.EPOCH_COMPLETED)
    def compute():
        engine.state.metrics = {"mean_dice": torch.tensor(next(runs) / 10), "per_class": torch.zeros(3)}

    return engine


def trainer(net, handlers, max_epochs=4):
    torch.manual_seed(1)
    items = [{"image": torch.randn(2), "label": torch.randn(1)} for _ in range(4)]
    optimizer = torch.optim.AdamW(net.parameters(), 0.1, weight_decay=0.1)
    engine = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=max_epochs,
        train_data_loader=torch.utils.data.DataLoader(items, batch_size=2),
        network=net,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        train_handlers=[
            *handlers,
            LrScheduleHandler(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), print_lr=False),
        ],
    )
    engine.losses = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: e.losses.append(first_loss(e.state.output)))
    return engine


def history(folder):
    return list(csv.DictReader((folder / "history.csv").open()))


@pytest.mark.parametrize("history_first", [True, False])
def test_history_has_loss_rate_and_validation(tmp_path, history_first):
    evaluator = validator()
    handlers = [HistoryWriter(str(tmp_path), evaluator), ValidationHandler(2, evaluator)]
    engine = trainer(Net(), handlers if history_first else handlers[::-1])
    engine.run()
    rows = history(tmp_path)
    assert list(rows[0]) == ["epoch", "loss", "learning_rate", "seconds", "mean_dice"]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    losses = torch.tensor(engine.losses).view(4, 2).mean(1)
    torch.testing.assert_close(torch.tensor([float(row["loss"]) for row in rows]), losses, rtol=1e-5, atol=0)
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.1, 0.05, 0.025, 0.0125])
    assert [row["mean_dice"] for row in rows] == ["", "0.1", "", "0.2"]
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_history_is_whole_after_every_epoch(tmp_path):
    engine = trainer(Net(), [HistoryWriter(str(tmp_path))])
    seen = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(len(history(tmp_path))))
    engine.run()
    assert seen == [1, 2, 3, 4]


def test_history_goes_on_after_a_resume(tmp_path):
    trainer(Net(), [HistoryWriter(str(tmp_path))], max_epochs=3).run()
    before = history(tmp_path)
    state = {"max_epochs": 4, "epoch_length": 2, "iteration": 4}  # saved after epoch 2, so epoch 3 comes again
    torch.save({"trainer": state}, tmp_path / "checkpoint.pt")
    second = trainer(Net(), [HistoryWriter(str(tmp_path))])
    CheckpointLoader(str(tmp_path / "checkpoint.pt"), {"trainer": second}).attach(second)
    second.run()
    rows = history(tmp_path)
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert rows[:2] == before[:2]


def test_new_training_starts_a_new_history(tmp_path):
    for epochs in (3, 2):
        trainer(Net(), [HistoryWriter(str(tmp_path))], max_epochs=epochs).run()
    assert len(history(tmp_path)) == 2


def test_frozen_part_does_not_change_and_then_does():
    net = Net()
    net.encoder.bias.requires_grad_(False)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    engine = trainer(net, [FreezeEncoder(net, 2)])
    changed = []

    def look():
        changed.append({name for name, value in net.state_dict().items() if not torch.equal(value, start[name])})

    engine.add_event_handler(Events.EPOCH_COMPLETED, look)
    engine.run()
    decoder = {"decoder.weight", "decoder.bias"}
    assert changed == [decoder, decoder, decoder | {"encoder.weight"}, decoder | {"encoder.weight"}]


@pytest.mark.parametrize(("epoch", "trains"), [(1, False), (2, True)])
def test_freezing_follows_the_epoch_of_a_resume(epoch, trains):
    net = Net()
    engine = trainer(net, [FreezeEncoder(net, 2)])
    engine.load_state_dict({"max_epochs": 4, "epoch_length": 2, "iteration": 2 * epoch})
    seen = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(net.encoder.weight.requires_grad))
    engine.run()
    assert seen[0] is trains


def test_no_frozen_epochs_change_nothing():
    net = Net()
    net.encoder.weight.requires_grad_(False)
    engine = trainer(net, [FreezeEncoder(net, 0, prefix="absent")], max_epochs=1)
    engine.run()
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True]


def test_freezing_finds_the_part_inside_a_wrapper():
    assert len(FreezeEncoder(nn.DataParallel(Net()), 1).parameters) == 2


def test_freezing_names_what_there_is():
    with pytest.raises(ValueError, match="'backbone': the network has decoder, encoder"):
        FreezeEncoder(Net(), 1, prefix="backbone")
    with pytest.raises(ValueError, match="epochs is -1"):
        FreezeEncoder(Net(), -1)


def test_progress_shows_epoch_loss_and_time_left():
    text = io.StringIO()
    engine = trainer(Net(), [Progress(file=text, disable=False, mininterval=0)], max_epochs=2)
    engine.run()
    last = text.getvalue().split("\r")
    assert any("Epoch [2/2]" in line and f"loss={engine.losses[3]:.3g}"[:8] in line for line in last)
    assert any("left=00:00" in line for line in last)


def test_progress_is_silent_without_a_terminal(capfd):
    trainer(Net(), [Progress()], max_epochs=1).run()
    assert capfd.readouterr().err == ""


def test_progress_of_an_evaluator_has_no_loss():
    text = io.StringIO()
    engine = Engine(lambda engine, batch: [{"pred": 0}])
    Progress(desc="Cases", file=text, disable=False, mininterval=0).attach(engine)
    engine.run([0, 1], max_epochs=1)
    assert "Cases" in text.getvalue()
    assert "loss" not in text.getvalue()


def test_loss_of_every_form_of_output():
    assert first_loss(0.5) == 0.5
    assert first_loss({"loss": torch.tensor(0.5)}) == 0.5
    assert first_loss([{"loss": torch.tensor(0.5)}, {"loss": torch.tensor(0.5)}]) == 0.5
    assert first_loss([{"pred": 1}]) is None
    assert first_loss(None) is None
