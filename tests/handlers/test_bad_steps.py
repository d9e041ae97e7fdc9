"""Steps whose loss or gradient is no number leave no trace, and too many of them end the training."""

import csv
import math

import pytest
import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.data import DataLoader, Dataset
from torch import nn
from torch.nn import functional

from components.engines import Trainer
from components.handlers import GradientClipping, HistoryWriter, SkipBadSteps

OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}
GOOD, BAD_IMAGE, BAD_GRADIENT = 0, 1, 2


class Network(nn.Module):
    """A network with running statistics whose gradient, not its loss, is NaN where an image says so."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))

    def forward(self, x):
        out = self.inner(x)
        if out.requires_grad and (x[:, :, 0, 0] == 77).any():
            out.register_hook(lambda grad: grad * float("nan"))
        return out


def batches(kinds):
    torch.manual_seed(1)
    items = [{"image": torch.randn(1, 6, 6), "label": torch.randn(1, 6, 6)} for _ in kinds]
    for kind, entry in zip(kinds, items, strict=True):
        if kind == BAD_IMAGE:
            entry["image"][0, 2, 2] = math.nan
        elif kind == BAD_GRADIENT:
            entry["image"][0, 0, 0] = 77
    return items


def train(kinds, optimizer="SGD", clip=False, skip=True, ema=False, output=None, more=(), **options):
    torch.manual_seed(0)
    network = Network()
    chosen = OPTIMIZERS[optimizer](network.parameters())
    handlers = [SkipBadSteps(network, chosen, **options)] if skip else []
    handlers += [GradientClipping(network.parameters(), 12.0)] if clip else []
    handlers += [HistoryWriter(str(output))] if output else []
    trainer = Trainer(
        device=torch.device("cpu"),
        max_epochs=1,
        network=network,
        train_data_loader=DataLoader(Dataset(batches(kinds)), batch_size=1),
        optimizer=chosen,
        loss_function=functional.mse_loss,
        train_handlers=[*handlers, *more],
    )
    average = EMAHandler(network, momentum=0.5) if ema else None
    if average:
        average.attach(trainer)
    trainer.run()
    return network, chosen, trainer, average


def same(ours, theirs):
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def states(optimizer):
    return [
        {n: v for n, v in state.items() if isinstance(v, torch.Tensor)}
        for state in optimizer.state_dict()["state"].values()
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", [False, True])
def test_a_sound_training_is_the_same_to_the_last_bit(optimizer, clip):
    network, chosen, _, _ = train([GOOD] * 5, optimizer, clip)
    other, other_chosen, _, _ = train([GOOD] * 5, optimizer, clip, skip=False)
    same(network.state_dict(), other.state_dict())
    for ours, theirs in zip(states(chosen), states(other_chosen), strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("bad", [BAD_IMAGE, BAD_GRADIENT])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("clip", [False, True])
def test_a_bad_step_leaves_no_trace(optimizer, clip, bad, monkeypatch):
    """The training is that of the same batches without the bad ones: weights, statistics and the optimizer's state."""
    network, chosen, trainer, _ = train([GOOD, bad, GOOD, bad, bad, GOOD], optimizer, clip)
    good = [entry for n, entry in enumerate(batches([GOOD] * 6)) if n in (0, 2, 5)]
    monkeypatch.setattr(f"{__name__}.batches", lambda kinds: good)
    other, other_chosen, _, _ = train([GOOD] * 3, optimizer, clip, skip=False)
    same(network.state_dict(), other.state_dict() | {"inner.1.num_batches_tracked": torch.tensor(3)})
    for ours, theirs in zip(states(chosen), states(other_chosen), strict=True):
        same(ours, theirs)
    assert trainer.state.metrics["skipped_steps"] == 3


def test_the_average_stays_sound():
    *_, average = train([GOOD, BAD_IMAGE, GOOD], ema=True)
    assert all(value.isfinite().all() for value in average.ema_model.state_dict().values())


def test_without_it_one_bad_image_ends_everything():
    network, *_ = train([GOOD, BAD_IMAGE, GOOD], skip=False)
    assert not network.inner[0].weight.isfinite().all()


def test_bad_steps_in_a_row_end_the_training():
    where = r"in 3 steps in a row, the last in iteration 7 of epoch 1"
    advice = r"lower --learning_rate \(it is 0\.1\), look for .* data check`; or allow more with --max_skipped"
    with pytest.raises(FloatingPointError, match=f"the loss was not finite {where}: {advice}"):
        train([GOOD, BAD_IMAGE, BAD_IMAGE, GOOD] + [BAD_IMAGE] * 9, max_skipped=3)
    train([GOOD, BAD_IMAGE, BAD_IMAGE, GOOD, BAD_IMAGE, BAD_IMAGE], max_skipped=3)


def test_max_skipped_is_checked():
    with pytest.raises(ValueError, match="max_skipped must be 1 or more, got 0"):
        SkipBadSteps(nn.Linear(1, 1), None, 0)


def test_history_tells_the_loss_of_the_good_steps_and_the_number_of_the_bad(tmp_path, caplog):
    train([GOOD, BAD_IMAGE, GOOD], output=tmp_path)
    (row,) = csv.DictReader((tmp_path / "history.csv").open())
    assert math.isfinite(float(row["loss"]))
    assert row["skipped_steps"] == "1"
    assert "iteration 2 of epoch 1: the loss (nan) is not finite: the step is skipped" in caplog.text
    train([GOOD, GOOD], output=tmp_path)
    assert "skipped_steps" not in (tmp_path / "history.csv").read_text()


class Scaler:
    """The scaler of float16 as PyTorch has it, on the CPU."""

    def __init__(self, scale):
        self.scale = scale

    def attach(self, trainer):
        trainer.add_event_handler(Events.STARTED, self._install)

    def _install(self, trainer):
        trainer.scaler = torch.amp.GradScaler("cpu", init_scale=self.scale)
        trainer.amp = True
        trainer.amp_kwargs = {"enabled": False}
        self.scaler = trainer.scaler


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_a_bad_loss_does_not_lower_the_scale(clip):
    scaler = Scaler(1024.0)
    network, _, trainer, _ = train([GOOD, BAD_IMAGE, BAD_IMAGE, GOOD], clip=clip, more=[scaler])
    assert scaler.scaler.get_scale() == 1024.0
    assert trainer.state.metrics["skipped_steps"] == 2
    assert all(value.isfinite().all() for value in network.state_dict().values())


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_the_scale_is_searched_for_longer_than_bad_steps_are_allowed(clip):
    """Gradients beyond the range of the numbers lower the scale, and only below 1 they count."""
    scaler = Scaler(4.0)
    with pytest.raises(
        FloatingPointError, match="gradient was not finite in 2 steps in a row, the last in iteration 5"
    ):
        train([BAD_GRADIENT] * 9, clip=clip, more=[scaler], max_skipped=2)
    assert scaler.scaler.get_scale() == 4.0 * 0.5**5
