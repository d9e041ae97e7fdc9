"""The files of a training, and trainings that go on from them."""

import copy
import re

import pytest
import torch
from ignite.engine import Events
from ignite.handlers import EarlyStopping, EMAHandler
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, PolynomialLR, ReduceLROnPlateau, StepLR

from components.handlers import Checkpoints
from components.resuming.schedule import continue_schedule


class Training:
    """A trainer with validation whose score is a given sequence, its checkpoints, and what is recorded of it."""

    def __init__(
        self, folder, epochs, scores=(), momentum=None, patience=0, resume=False, interval=1, cases=1, pretrained=None
    ):
        torch.manual_seed(0)
        items = [{"image": torch.randn(2), "label": torch.randn(1)} for _ in range(6)]
        self.network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
        optimizer = torch.optim.AdamW(self.network.parameters(), 0.1, weight_decay=0.1)
        scheduler = CosineAnnealingLR(optimizer, epochs, eta_min=1e-3)
        self.scores = scores
        self.evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=torch.utils.data.DataLoader(items[:cases]),
            network=self.network,
        )
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=epochs,
            train_data_loader=torch.utils.data.DataLoader(items, batch_size=3, shuffle=True),
            network=self.network,
            optimizer=optimizer,
            loss_function=nn.MSELoss(),
            train_handlers=[
                LrScheduleHandler(scheduler, print_lr=False),
                *([ValidationHandler(interval, self.evaluator)] if interval else []),
            ],
        )
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self._score)
        self.rates, self.seen = [], []
        self.trainer.add_event_handler(Events.EPOCH_STARTED, lambda: self.rates.append(optimizer.param_groups[0]["lr"]))
        self.ema = momentum and EMAHandler(
            self.network, momentum, momentum_warmup=1.0, warmup_iters=round(1 / momentum)
        )
        self.stop = EarlyStopping(patience, lambda e: e.state.metrics["score"], self.trainer) if patience else None
        self.checkpoints = Checkpoints(
            str(folder),
            self.trainer,
            self.evaluator,
            self.network,
            optimizer,
            scheduler,
            ema=self.ema,
            early_stop=self.stop,
            resume=resume,
            pretrained=pretrained,
        )

    def _score(self, evaluator):
        self.seen.append(copy.deepcopy(evaluator.network.state_dict()))
        score = self.scores[evaluator.state.epoch - 1]
        evaluator.state.metrics["score"] = score
        if score > evaluator.state.best_metric:
            evaluator.state.best_metric, evaluator.state.best_metric_epoch = score, evaluator.state.epoch

    def run(self):
        self.checkpoints.attach()
        self.trainer.run()
        return self


def load(path):
    return torch.load(path, weights_only=True)


def same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


SCORES = (0.1, 0.2, 0.3, 0.25, 0.28, 0.2, 0.1, 0.1)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.2}, {"momentum": 0.2, "patience": 3}])
def test_a_training_in_two_parts_is_that_in_one(tmp_path, options):
    """The warm-up of the average takes 5 of the 12 iterations and is interrupted after 4."""
    whole = Training(tmp_path / "whole", 6, SCORES, **options).run()
    first = Training(tmp_path / "parts", 6, SCORES, **options)
    first.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), first.trainer.terminate)
    first.run()
    second = Training(tmp_path / "parts", 6, SCORES, **options, resume=True).run()
    assert (len(first.rates), len(second.rates)) == (2, 4)
    assert first.rates + second.rates == whole.rates
    same(whole.network.state_dict(), second.network.state_dict())
    for name in ("model.pt", "last.pt"):
        one, two = load(tmp_path / "whole" / name), load(tmp_path / "parts" / name)
        same(one.get("network", one), two.get("network", two))
    assert one["best_metric"] == two["best_metric"]
    assert one.get("early_stop") == two.get("early_stop")
    if "momentum" in options:
        same(one["ema"]["network"], two["ema"]["network"])
        assert one["ema"]["updates"] == two["ema"]["updates"] == 12


def test_validation_and_result_have_the_average(tmp_path):
    training = Training(tmp_path, 4, SCORES, momentum=0.3).run()
    last, best = load(tmp_path / "last.pt"), load(tmp_path / "model.pt")
    same(best, training.seen[2])
    same(last["ema"]["network"], training.seen[3])
    same(last["network"], training.network.state_dict())
    assert not torch.equal(last["network"]["0.weight"], last["ema"]["network"]["0.weight"])


def test_average_is_that_of_the_iterations(tmp_path):
    training = Training(tmp_path, 4, SCORES, momentum=0.3)
    weights = []
    training.trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: weights.append(training.network[0].weight.detach().clone())
    )
    training.run()
    expected = torch.zeros_like(weights[0])
    for count, weight in enumerate(weights):  # the momentum falls from 1 to 0.3 in 3 iterations and stays there
        momentum = max(0.3, 1 - 0.7 * count / 2)
        expected = (1 - momentum) * expected + momentum * weight
    torch.testing.assert_close(load(tmp_path / "last.pt")["ema"]["network"]["0.weight"], expected)


def test_without_validation_the_last_average_is_the_result(tmp_path):
    Training(tmp_path, 2, momentum=0.3, interval=0).run()
    same(load(tmp_path / "model.pt"), load(tmp_path / "last.pt")["ema"]["network"])


def test_average_may_begin_and_end_at_a_resume(tmp_path, caplog):
    Training(tmp_path, 2, SCORES).run()
    Training(tmp_path, 3, SCORES, momentum=0.3, resume=True).run()
    assert load(tmp_path / "last.pt")["ema"]["updates"] == 2
    Training(tmp_path, 4, SCORES, resume=True).run()
    assert "an average of the weights, which is dropped: add --ema true" in caplog.text
    assert "ema" not in load(tmp_path / "last.pt")


def test_training_stops_when_it_no_longer_improves(tmp_path):
    training = Training(tmp_path, 8, SCORES, patience=2).run()
    assert training.trainer.state.epoch == 5
    state = load(tmp_path / "last.pt")
    assert state["early_stop"] == {"counter": 2, "best_score": 0.3}
    same(load(tmp_path / "model.pt"), training.seen[2])
    with pytest.raises(ValueError, match="stopped after 2 validations without a better one: give --patience above 2"):
        Training(tmp_path, 8, SCORES, patience=2, resume=True).run()
    assert Training(tmp_path, 8, SCORES, patience=4, resume=True).run().trainer.state.epoch == 7


def test_stopping_needs_validation_cases(tmp_path):
    with pytest.raises(ValueError, match="there are no validation cases: leave --patience at 0"):
        Training(tmp_path, 2, patience=1, cases=0).run()


def test_more_epochs_have_their_own_schedule(tmp_path):
    """From the resume on the learning rate is that of a training which had 6 epochs from the beginning."""
    whole = Training(tmp_path / "whole", 6, SCORES).run()
    Training(tmp_path / "parts", 3, SCORES).run()
    assert Training(tmp_path / "parts", 6, SCORES, resume=True).run().rates == whole.rates[3:]
    with pytest.raises(ValueError, match=re.escape("has 6 epochs already: give --max_epochs above 6")):
        Training(tmp_path / "parts", 6, SCORES, resume=True).run()


SCHEDULES = {
    "cosine": lambda o, n: CosineAnnealingLR(o, n),
    "polynomial": lambda o, n: PolynomialLR(o, n, power=0.9),
    "one cycle": lambda o, n: OneCycleLR(o, 0.2, n + 1),
    "steps": lambda o, n: StepLR(o, 2),
}


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("epochs", [8, 12])
def test_schedules_go_on(make, epochs):
    def build(n, lr=0.1, decay=0.0):
        parameter = nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([parameter], lr, momentum=0.9, weight_decay=decay)
        return optimizer, make(optimizer, n), parameter

    def train(optimizer, scheduler, parameter, n):
        settings = []
        for _ in range(n):
            parameter.grad = torch.ones(1)
            optimizer.step()
            scheduler.step()
            settings.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        return settings

    begun, whole = build(8), build(epochs)
    train(*begun, 5)
    expected = train(*whole, 8)
    resumed = build(epochs, decay=0.01)
    continue_schedule(resumed[1], resumed[0], begun[1].state_dict(), begun[0].state_dict())
    assert torch.equal(resumed[0].state[resumed[2]]["momentum_buffer"], begun[0].state[begun[2]]["momentum_buffer"])
    assert resumed[0].param_groups[0]["weight_decay"] == 0.01
    assert train(*resumed, 3) == expected[5:]


def test_schedule_that_follows_a_score_is_restored():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)
    scheduler = ReduceLROnPlateau(optimizer, patience=0)
    for score in (1.0, 2.0):
        scheduler.step(score)
    fresh = torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)
    again = ReduceLROnPlateau(fresh, patience=0)
    continue_schedule(again, fresh, scheduler.state_dict(), optimizer.state_dict())
    assert fresh.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    assert again.best == 1.0


def test_a_training_starts_from_weights_and_one_that_goes_on_does_not(tmp_path, caplog):
    torch.manual_seed(5)
    other = Training(tmp_path / "other", 1).network
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    torch.save(other.state_dict(), tmp_path / "start.pt")
    begun = Training(tmp_path / "new", 2, scores=[0.1, 0.2], momentum=0.1, pretrained=str(tmp_path / "start.pt"))
    begun.checkpoints.attach()
    for network in (begun.network, begun.ema.ema_model):
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in other.state_dict().items())
    begun.trainer.run()
    last = load(tmp_path / "new" / "last.pt")
    on = Training(tmp_path / "new", 3, [0.3] * 3, momentum=0.1, resume="auto", pretrained=str(tmp_path / "gone.pt"))
    on.checkpoints.attach()
    assert all(torch.equal(value, on.network.state_dict()[name]) for name, value in last["network"].items())
