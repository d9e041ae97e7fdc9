"""Mixed precision on a CPU, and outputs that are not numbers."""

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.inferers import SlidingWindowInferer
from torch import nn
from torch.nn import functional

from components.engines import Evaluator, Trainer, mixed_dtype


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3, padding=1)
        self.seen = []

    def forward(self, x):
        out = self.layer(x)
        self.seen.append(out.dtype)
        return out


def run(kind, value=None, **options):
    torch.manual_seed(0)
    network = Network()
    image = torch.randn(1, 8, 8)
    if value is not None:
        image[0, 0, 0] = value
    items = [{"image": MetaTensor(image, meta={"filename_or_obj": "scan.nii"}), "label": torch.randn(2, 8, 8)}] * 3
    loader = DataLoader(Dataset(items), batch_size=1)
    shared = {"device": torch.device("cpu"), "network": network, **options}
    if kind in (Trainer, SupervisedTrainer):
        engine = kind(
            **shared,
            max_epochs=2,
            train_data_loader=loader,
            optimizer=torch.optim.SGD(network.parameters(), 0.1),
            loss_function=functional.mse_loss,
        )
    else:
        engine = kind(**shared, val_data_loader=loader, inferer=SlidingWindowInferer(roi_size=(4, 4)))
    engine.run()
    return network, engine


@pytest.mark.parametrize(("ours", "theirs"), [(Trainer, SupervisedTrainer), (Evaluator, SupervisedEvaluator)])
def test_without_mixed_precision_nothing_differs(ours, theirs):
    (network, engine), (other, reference) = run(ours), run(theirs)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())
    assert torch.equal(engine.state.output[0]["pred"], reference.state.output[0]["pred"])
    assert set(network.seen) == {torch.float32}


@pytest.mark.parametrize("kind", [Trainer, Evaluator])
@pytest.mark.parametrize("amp_dtype", [None, "bfloat16"])
def test_mixed_precision_on_a_cpu(kind, amp_dtype):
    network, engine = run(kind, amp=True, amp_dtype=amp_dtype)
    reference = run(kind)[1].state.output[0]["pred"]
    result = engine.state.output[0]["pred"]
    assert set(network.seen) == {torch.bfloat16}
    assert result.dtype == torch.float32
    assert not torch.equal(result, reference)
    torch.testing.assert_close(result, reference, rtol=0.05, atol=0.05)
    assert engine.scaler is None
    assert all(value.dtype == torch.float32 for value in network.state_dict().values())


def test_the_type_goes_with_the_device():
    assert mixed_dtype("cpu", amp=False) is None
    assert mixed_dtype("cuda", amp=True) is torch.float16
    assert mixed_dtype("cuda:1", amp=True, amp_dtype="bfloat16") is torch.bfloat16
    with pytest.raises(
        ValueError, match="amp_dtype float16 needs CUDA, but the device is cpu: give --amp_dtype bfloat16"
    ):
        mixed_dtype("cpu", amp=True, amp_dtype="float16")
    with pytest.raises(ValueError, match="unknown amp_dtype 'half'"):
        mixed_dtype("cpu", amp=False, amp_dtype="half")


def test_an_output_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match=r"scan\.nii: the network's output is not finite: the weights cannot be used"):
        run(Evaluator, value=float("inf"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_float16_on_a_gpu_is_that_of_monai():
    options = {"device": torch.device("cuda"), "amp": True}
    (network, engine), (other, _) = run(Trainer, **options), run(SupervisedTrainer, **options)
    assert engine.scaler is not None
    assert set(network.seen) == {torch.float16} == set(other.seen)
