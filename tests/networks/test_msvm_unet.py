"""MSVMUNet's first values, drop path rates, channels and refusals; what all networks share is in test_contract."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from components.blocks.channel_first import LayerNorm2d, Linear2d
from components.blocks.vss import SS2D, VSSBlock
from components.networks import MSVMUNet

FEATURES = (32, 64, 128, 256)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MSVMUNet(1, 4, features=FEATURES)


def of_type(module, kind):
    return [child for child in module.modules() if isinstance(child, kind)]


def assert_uniform(values, bound):
    """Values spread evenly over ±bound."""
    assert values.abs().max() <= bound
    if values.numel() > 1000:
        assert values.abs().max() > 0.98 * bound
        assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_linear_maps_of_the_encoder(network):
    for layer in of_type(network.encoder, Linear2d):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert layer.weight.mean().abs() < 0.002
        assert layer.bias is None or not layer.bias.any()


def test_linear_maps_of_the_decoder_start_as_in_pytorch(network):
    for layer in [*of_type(network.decoder, nn.Linear), network.head.head]:
        assert_uniform(layer.weight, 1 / math.sqrt(layer.in_features))
        if layer.bias is not None:
            assert_uniform(layer.bias, 1 / math.sqrt(layer.in_features))


def test_convolutions_start_as_in_pytorch(network):
    for layer in of_type(network, nn.Conv2d):
        assert_uniform(layer.weight, 1 / math.sqrt(layer.weight[0].numel()))


def test_norms_start_as_identity(network):
    norms = of_type(network, LayerNorm2d | nn.LayerNorm | nn.BatchNorm2d)
    assert norms
    for norm in norms:
        assert norm.eps == 1e-5
        assert (norm.weight == 1).all()
        assert not norm.bias.any()


def test_scans(network):
    scans = of_type(network, SS2D)
    assert len(scans) == 14 + 6
    for scan in scans:
        rank, channels = scan.dt_projs_weight.shape[-1], scan.x_proj_weight.shape[-1]
        assert rank == math.ceil(channels / 16)
        assert not scan.A_logs.any()
        assert (scan.Ds == 1).all()
        assert_uniform(scan.dt_projs_weight, rank**-0.5)
        assert_uniform(scan.x_proj_weight, channels**-0.5)
        assert scan.in_proj.bias is scan.out_proj.bias is scan.conv.bias is None
    steps = torch.cat([F.softplus(scan.dt_projs_bias.double()).flatten() for scan in scans])
    assert steps.min() >= 0.99e-3
    assert steps.max() <= 1.01e-1
    assert_uniform(steps.log() - math.log(1e-2), math.log(10) * 1.01)


def test_steps_are_clamped():
    torch.manual_seed(0)
    scan = SS2D(64)
    scan.reset_scan_parameters(dt_min=1e-8, dt_max=1e-2)
    steps = F.softplus(scan.dt_projs_bias.double())
    assert steps.min().item() == pytest.approx(1e-4, rel=1e-3)


def test_decay_rates_of_several_states():
    torch.testing.assert_close(SS2D(5, state_size=3).A_logs.exp(), torch.tensor([1.0, 2.0, 3.0]).expand(20, 3))


def test_drop_path_rates(network):
    encoder = [block.drop_path.drop_prob for block in of_type(network.encoder, VSSBlock)]
    decoder = [block.drop_path.drop_prob for block in of_type(network.decoder, VSSBlock)]
    assert encoder == pytest.approx([0.2 * i / 13 for i in range(14)])
    assert decoder == pytest.approx([0.2, 0.16, 0.12, 0.08, 0.04, 0])


def test_one_channel_is_repeated_to_three(network):
    colour = MSVMUNet(3, 4, features=FEATURES).eval()
    colour.load_state_dict(network.state_dict())
    x = torch.randn(1, 1, 32, 64)
    with torch.no_grad():
        expected = colour(x.repeat(1, 3, 1, 1))
        torch.testing.assert_close(network.eval()(x), expected)
        torch.testing.assert_close(colour(x), expected)


def test_other_channels():
    network = MSVMUNet(5, 2, features=[16, 32, 64, 128], depths=[1, 1, 1, 1]).eval()
    assert network(torch.randn(1, 5, 32, 32)).shape == (1, 2, 32, 32)
    with pytest.raises(ValueError, match="built for in_channels=5, got 3 channels"):
        network(torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "tiny_230s"}, "unknown encoder 'tiny_230s', did you mean 'tiny_0230s'"),
        ({"in_channels": 0}, "must be at least 1, got 0 and 9"),
        ({"out_channels": 0}, "must be at least 1, got 1 and 0"),
        ({"features": [16, 32, 64]}, r"each twice the one before, got \[16, 32, 64\]"),
        ({"features": [16, 32, 64, 100]}, r"each twice the one before, got \[16, 32, 64, 100\]"),
        ({"depths": [1, 1, 1]}, r"four numbers of at least 1, got \[1, 1, 1\]"),
        ({"depths": [1, 1, 0, 1]}, r"four numbers of at least 1, got \[1, 1, 0, 1\]"),
    ],
    ids=str,
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MSVMUNet(**arguments)


def test_wrong_inputs(network):
    with pytest.raises(ValueError, match=r"got 33 × 60: pad or resize the image to 64 × 64"):
        network(torch.zeros(1, 1, 33, 60))
    with pytest.raises(ValueError, match=r"needs images \(B, 1, H, W\), got shape \(1, 32, 32\)"):
        network(torch.zeros(1, 32, 32))
    with pytest.raises(ValueError, match="use a batch of 2 or more"):
        network.train()(torch.zeros(1, 1, 32, 32))
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 4, 32, 32)


def test_published_parameter_count():
    with torch.device("meta"):
        network = MSVMUNet(1, 9)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(35.93, abs=0.005)


def test_small_encoder():
    with torch.device("meta"):
        network = MSVMUNet(1, 9, encoder="small_0229s")
        assert network(torch.zeros(1, 1, 64, 96)).shape == (1, 9, 64, 96)
    assert [len(stage) for stage in network.encoder.stages] == [2, 2, 20, 2]
    assert network.encoder.stages[-1][-1].drop_path.drop_prob == pytest.approx(0.3)
