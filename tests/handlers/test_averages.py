"""Ignite's average of the weights and MONAI's early stopping, as a configuration attaches them to a trainer."""

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator, SupervisedTrainer

CONFIG = {
    "network": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1},
    "ema": {"_target_": "ignite.handlers.EMAHandler", "model": "@network", "momentum": 0.25},
    "handlers": ["@ema"],
}


def trainer(network, handlers, epochs=3):
    data = [{"image": torch.ones(2), "label": torch.ones(1)}] * 4
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=torch.utils.data.DataLoader(data, batch_size=2),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=torch.nn.MSELoss(),
        train_handlers=handlers,
        decollate=False,
    )


def test_average_follows_the_weights():
    torch.manual_seed(0)
    parsed = ConfigParser(CONFIG)
    network, ema = parsed.get_parsed_content("network"), parsed.get_parsed_content("ema")
    expected, seen = network.weight.detach().clone(), []
    engine = trainer(network, parsed.get_parsed_content("handlers"))
    engine.add_event_handler("ITERATION_COMPLETED", lambda: seen.append(network.weight.detach().clone()))
    engine.run()
    for weight in seen:
        expected = 0.75 * expected + 0.25 * weight
    torch.testing.assert_close(ema.ema_model.weight.detach(), expected)
    assert not torch.allclose(ema.ema_model.weight, network.weight, atol=1e-3)
    assert not ema.ema_model.training
    assert set(ema.ema_model.state_dict()) == set(network.state_dict())


def test_average_can_be_switched_off():
    config = {**CONFIG, "handlers": [{**CONFIG["ema"], "_disabled_": True}]}
    parsed = ConfigParser(config)
    assert parsed.get_parsed_content("handlers") == []


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4)])
def test_early_stopping(patience, epochs):
    """The score rises once and then falls. The trainer is set later: a configuration must not refer in a circle."""
    scores = iter([0.5, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    config = {
        "_target_": "EarlyStopHandler",
        "patience": patience,
        "score_function": "$lambda engine: engine.state.metrics['strict_dice']",
    }
    stop = ConfigParser({"stop": config}).get_parsed_content("stop")
    network = torch.nn.Linear(2, 1)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"), val_data_loader=[{"image": torch.ones(1, 2)}], network=network, decollate=False
    )
    evaluator.add_event_handler("EPOCH_COMPLETED", lambda e: e.state.metrics.update(strict_dice=next(scores)))
    stop.attach(evaluator)
    engine = trainer(network, None, epochs=7)
    stop.set_trainer(engine)
    engine.add_event_handler("EPOCH_COMPLETED", lambda e: evaluator.run(e.state.epoch))
    engine.run()
    assert engine.state.epoch == epochs
