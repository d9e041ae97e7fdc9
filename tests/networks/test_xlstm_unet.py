"""What is particular to XLSTMUNet: its plan of layers, its arguments and size, gradients through the fast cell."""

import pytest
import torch

from components.blocks.residual import ResidualBlock
from components.blocks.vil import ViLLayer
from components.executor import execution, residual
from components.kernels import use_backend
from components.networks import XLSTMUNet

SMALL = {
    "spatial_dims": 2,
    "in_channels": 2,
    "out_channels": 3,
    "variant": "enc",
    "patch_size": [32, 48],
    "features": [4, 8, 12, 16],
    "kernel_sizes": [3, 3, 3, 3],
    "strides": [1, 2, 2, 2],
    "deep_supervision": True,
}
SHAPES = {
    "2d, tokens are channels": {**SMALL, "features": [4, 8, 12, 30]},
    "2d, tokens are voxels": {**SMALL, "features": [4, 8, 12, 18]},
    "2d, five stages": {
        **SMALL,
        "patch_size": [48, 64],
        "features": [4, 6, 8, 10, 14],
        "kernel_sizes": [3] * 5,
        "strides": [1, 2, 2, 2, 2],
    },
    "2d, bot": {**SMALL, "variant": "bot"},
    "3d, anisotropic": {
        **SMALL,
        "spatial_dims": 3,
        "patch_size": [4, 32, 32],
        "features": [4, 6, 8, 10],
        "kernel_sizes": [[1, 3, 3], [1, 3, 3], 3, 3],
        "strides": [1, [1, 2, 2], [1, 2, 2], 2],
    },
}

ABDOMEN = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 14,
    "patch_size": [48, 160, 224],
    "features": [32, 64, 128, 256, 320, 320],
    "kernel_sizes": [[1, 3, 3], 3, 3, 3, 3, 3],
    "strides": [1, [1, 2, 2], 2, 2, 2, [1, 2, 2]],
}
ENDOSCOPY = {
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 8,
    "patch_size": [384, 640],
    "features": [32, 64, 128, 256, 512, 512, 512],
    "kernel_sizes": [3] * 7,
    "strides": [1, 2, 2, 2, 2, 2, 2],
}


def gradients(network, x, backend):
    network.zero_grad()
    with use_backend("mlstm", backend):
        outputs = network(x)
        sum((output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum() for output in outputs).backward()
    return outputs, {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("arguments", SHAPES.values(), ids=SHAPES)
def test_gradients_with_the_fast_cell_are_those_of_its_definition(arguments):
    torch.manual_seed(0)
    network = XLSTMUNet(**arguments).double()
    x = torch.randn(2, 2, *arguments["patch_size"], dtype=torch.float64)
    expected_outputs, expected = gradients(network, x, "naive")
    outputs, actual = gradients(network, x, "chunkwise")
    torch.testing.assert_close(outputs, expected_outputs)
    for name, gradient in actual.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-6, atol=1e-8, msg=name)


def layers(variant, spatial_dims, n, patch=64):
    network = XLSTMUNet(
        spatial_dims=spatial_dims,
        in_channels=1,
        out_channels=2,
        variant=variant,
        patch_size=[patch] * spatial_dims,
        features=[4] * n,
        kernel_sizes=[3] * n,
        strides=[1] + [2] * (n - 1),
    )
    names = {ResidualBlock: "R", ViLLayer: "V", torch.nn.Identity: "-"}
    return "".join(names[type(layer)] for layer in (*network.stage_layers, network.bottleneck))


@pytest.mark.parametrize(
    ("variant", "spatial_dims", "n", "expected"),
    [
        ("bot", 2, 4, "----V"),
        ("bot", 3, 4, "----V"),
        ("enc", 2, 4, "-R-V-"),
        ("enc", 2, 5, "-RV-V-"),
        ("enc", 2, 6, "-R-V-V-"),
        ("enc", 2, 7, "-RV-V-V-"),
        ("enc", 3, 3, "RRR-"),
        ("enc", 3, 6, "RRRVVV-"),
    ],
)
def test_layers_behind_the_stages(variant, spatial_dims, n, expected):
    assert layers(variant, spatial_dims, n) == expected


def test_channels_are_tokens_where_voxels_are_few():
    network = XLSTMUNet(**{**SMALL, "features": [4, 8, 12, 24]})
    assert network.stage_layers[3].channel_token  # 4 × 6 voxels and as many channels
    network = XLSTMUNet(**{**SMALL, "features": [4, 8, 12, 23]})
    assert not network.stage_layers[3].channel_token
    network(torch.zeros(1, 2, 16, 16))
    assert not XLSTMUNet(**{**SMALL, "variant": "bot", "features": [4, 8, 12, 64]}).bottleneck.channel_token


def test_blocks_are_forced_to_one_in_the_deep_half():
    network = XLSTMUNet(**{**SMALL, "blocks_per_stage": [3, 2, 4, 4], "decoder_blocks_per_stage": 3})
    assert [len(blocks) for blocks in (network.stem, *network.stages)] == [3, 3, 2, 1, 1]
    assert [len(block.blocks) for block in network.decoder] == [3, 3, 1]


def test_the_last_decoder_stage_takes_its_skip_only_in_3d():
    assert [block.takes_skip for block in XLSTMUNet(**SMALL).decoder] == [True, True, False]
    assert all(block.takes_skip for block in XLSTMUNet(**SHAPES["3d, anisotropic"]).decoder)


def test_initial_values():
    torch.manual_seed(0)
    network = XLSTMUNet(**{**SMALL, "variant": "bot", "features": [4, 8, 12, 64]})
    block = network.bottleneck.block
    assert block.heads == 4
    for layer in (block.up, block.q, block.k, block.v):
        assert layer.weight.std().item() == pytest.approx((2 / (5 * 64)) ** 0.5, rel=0.1)
    assert block.down.weight.std().item() == pytest.approx(2 / 64**0.5, rel=0.05)
    assert not block.input_gate.weight.any()
    assert not block.forget_gate.weight.any()
    torch.testing.assert_close(block.forget_gate.bias.detach(), torch.tensor([3.0, 4.0, 5.0, 6.0]))
    assert 0 < block.input_gate.bias.abs().max() < 0.5
    conv = network.stages[3][0].conv1
    assert not conv.bias.any()
    assert conv.weight.std().item() == pytest.approx((2 / (1 + 0.01**2) / (12 * 9)) ** 0.5, rel=0.05)


def bytes_kept(network, x):
    """What a training step keeps for its backward pass, parameters apart, and its gradients."""
    network.zero_grad()
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor as well, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = network(x)
    sum(output.square().mean() for output in outputs).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return sum(size for address, (size, _) in kept.items() if address not in parameters), gradients


@pytest.mark.parametrize("use_checkpoint", [False, True])
def test_a_large_image_trains_by_rows_with_less_memory(use_checkpoint, monkeypatch):
    torch.manual_seed(0)
    arguments = {**SHAPES["3d, anisotropic"], "variant": "bot", "use_checkpoint": use_checkpoint}
    network = XLSTMUNet(**arguments).double().train()
    x = torch.randn(1, 2, 4, 32, 32, dtype=torch.float64)
    plain, expected = bytes_kept(network, x)
    monkeypatch.setattr(execution, "LARGE_INPUT", 0)
    monkeypatch.setattr(residual, "FEW", 0)
    kept, gradients = bytes_kept(network, x)
    assert kept <= (1.0 if use_checkpoint else 0.55) * plain
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-7, atol=1e-10, msg=name)


def test_the_finest_stages_alone_are_recomputed():
    """Memory falls with each stage, and gradients stay."""
    x, found = torch.randn(1, 2, 32, 48), []
    for stages in (False, 1, 2, True):
        torch.manual_seed(0)
        found.append(bytes_kept(XLSTMUNet(**SMALL, use_checkpoint=stages).train(), x))
    kept = [number for number, _ in found]
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) == 4
    for _, gradients in found[1:]:
        torch.testing.assert_close(gradients, found[0][1])


def test_a_network_that_evaluates_overwrites_no_map(monkeypatch):
    """With gradients, as for saliency maps, whose hooks keep maps."""
    monkeypatch.setattr(execution, "LARGE_INPUT", 0)
    network, maps = XLSTMUNet(**SMALL).eval(), []
    network.stages[1][0].conv1.register_forward_hook(lambda module, inputs, y: maps.append((y, y.detach().clone())))
    network(torch.randn(1, 2, 32, 48))
    assert all(torch.equal(now, before) for now, before in maps)


def test_heads_without_deep_supervision_are_kept_but_frozen():
    network = XLSTMUNet(**{**SMALL, "deep_supervision": False})
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {"heads.0.weight", "heads.0.bias", "heads.1.weight", "heads.1.bias"}
    assert network.state_dict().keys() == XLSTMUNet(**SMALL).state_dict().keys()


def test_eval_computes_one_head_only():
    network = XLSTMUNet(**SMALL).eval()
    calls = []
    for index, head in enumerate(network.heads):
        head.register_forward_hook(lambda *_, index=index: calls.append(index))
    network(torch.zeros(1, 2, 32, 48))
    assert calls == [2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "encoder"}, r"unknown variant 'encoder', did you mean 'enc'\? Valid: bot, enc"),
        ({"spatial_dims": 1}, "spatial_dims must be 2 or 3, got 1"),
        ({"in_channels": 0}, "at least 1, got 0 and 3"),
        ({"features": [4]}, "at least 2 stages"),
        ({"kernel_sizes": [3, 3, 3]}, "kernel_sizes must have one entry for each of the 4 stages .* got 3"),
        ({"kernel_sizes": [3, 3, 3, 4]}, "kernel_sizes must be odd"),
        ({"kernel_sizes": [3, 3, 3, [3, 3, 3]]}, "each of kernel_sizes must be a number or 2 numbers"),
        ({"strides": [1, 2, 2]}, "strides must have one entry"),
        ({"strides": [1, 2, 2, 0]}, "strides must be at least 1"),
        ({"strides": [2, 2, 2, 2]}, "stride into the first stage must be 1, got 2"),
        ({"patch_size": [32, 48, 48]}, r"patch_size must be 2 sizes divisible by 8 × 8, got \[32, 48, 48\]"),
        ({"patch_size": [32, 50]}, "divisible by 8 × 8"),
        ({"blocks_per_stage": [2, 2]}, "blocks_per_stage must be a number or 4 numbers"),
        ({"decoder_blocks_per_stage": [2, 2]}, "decoder_blocks_per_stage must be a number or 3 numbers"),
        ({"blocks_per_stage": 0}, "blocks_per_stage must be at least 1"),
        ({"use_checkpoint": 5}, "use_checkpoint must be true, false or from 0 to 4 stages, got 5"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        XLSTMUNet(**{**SMALL, **change})


@pytest.mark.parametrize(
    ("features", "shape", "message"),
    [
        ([4, 8, 12, 64], (1, 2, 32, 32), r"only its planned patch_size \(32, 48\), got \(32, 32\)"),
        ([4, 8, 12, 16], (1, 2, 33, 41), r"divisible by \(8, 8\), got \(33, 41\): pad the input to \(40, 48\)"),
        ([4, 8, 12, 16], (1, 3, 32, 48), r"needs an input \(B, 2, H, W\), got shape \(1, 3, 32, 48\)"),
        ([4, 8, 12, 16], (2, 32, 48), r"needs an input \(B, 2, H, W\)"),
        ([4, 8, 12, 16], (1, 2, 8, 8), "single voxel"),
    ],
)
def test_wrong_inputs(features, shape, message):
    network = XLSTMUNet(**{**SMALL, "features": features})
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(shape))


@pytest.mark.parametrize(
    ("plan", "variant", "millions"),
    [(ABDOMEN, "enc", 43.73), (ABDOMEN, "bot", 41.91), (ENDOSCOPY, "enc", 47.66), (ENDOSCOPY, "bot", 47.45)],
)
def test_published_parameter_count(plan, variant, millions):
    with torch.device("meta"):
        network = XLSTMUNet(variant=variant, **plan)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
