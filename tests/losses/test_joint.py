"""The loss over the batches of several processes is that of one process with all of them."""

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss

from components.losses import IgnoringDiceCELoss, JointDiceCELoss, RegionDiceBCELoss
from tests import processes

TWO_PROCESSES = """
import sys
import torch
import torch.distributed as dist
from components.losses import JointDiceCELoss
from components.runs import end_group
from tests.losses.test_joint import LOSSES, batch, network
dist.init_process_group("gloo")
rank = dist.get_rank()
results = {}
for name, make in LOSSES.items():
    net = torch.nn.parallel.DistributedDataParallel(network(name))
    image, label = (tensor[2 * rank : 2 * rank + 2] for tensor in batch())
    loss = make(JointDiceCELoss)(net(image), label)
    loss.backward()
    results[name] = [loss.detach(), *(p.grad for p in net.parameters())]
torch.save(results, f"{sys.argv[1]}/{rank}.pt")
end_group()
"""


class Levels(torch.nn.Module):
    """Two levels of logits, as deep supervision has them."""

    def __init__(self):
        super().__init__()
        self.fine = torch.nn.Conv2d(1, 3, 3, padding=1)
        self.coarse = torch.nn.Conv2d(1, 3, 3, stride=2, padding=1)

    def forward(self, x):
        return [self.fine(x), self.coarse(x)]


def msvm(kind=DiceCELoss):
    """The loss of MSVM-UNet's recipes."""
    return kind(
        to_onehot_y=True, softmax=True, squared_pred=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5,
        lambda_dice=0.6, lambda_ce=0.4,
    )  # fmt: skip


def xlstm(kind=DiceCELoss):
    """The loss of xLSTM-UNet's 2D recipes."""
    dice = kind(include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)
    return DeepSupervisionLoss(dice, weights=[0.7, 0.3])


def ignoring(kind=None):
    """A loss with ignored voxels, of which each process has another number."""
    return IgnoringDiceCELoss(2, batch=True)


def regions(kind=None):
    """A loss of overlapping regions with ignored voxels."""
    return RegionDiceBCELoss([[1], [1], [1]], ignore_label=2, batch=True)


LOSSES = {"msvm": msvm, "xlstm": xlstm, "ignoring": ignoring, "regions": regions}


def network(name):
    torch.manual_seed(0)
    return Levels() if name == "xlstm" else torch.nn.Conv2d(1, 3, 3, padding=1)


def batch():
    """Four items with very different amounts of foreground."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(4, 1, 8, 8, generator=generator)
    label = torch.zeros(4, 1, 8, 8)
    for item, size in enumerate((1, 3, 5, 8)):
        label[item, :, :size, :size] = 1 + item % 2
    return image, label


def test_two_processes(tmp_path):
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    done = processes.run(["two", tmp_path], tmp_path, 2)
    assert done.returncode == 0, done.stderr
    for name, make in LOSSES.items():
        net = network(name)
        image, label = batch()
        loss = make()(net(image), label)
        loss.backward()
        alone = make()(net(image[:2]), label[:2])
        assert abs(alone - loss) > 1e-3  # the loss of a part is another one
        for rank in range(2):
            found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)[name]
            torch.testing.assert_close(found, [loss.detach(), *(p.grad for p in net.parameters())])


@pytest.mark.parametrize("make", [msvm, xlstm])
def test_one_process(make):
    image, label = batch()
    logits = network("msvm")(image)
    logits = [logits, logits[..., ::2, ::2]] if make is xlstm else logits
    torch.testing.assert_close(make(JointDiceCELoss)(logits, label), make()(logits, label), rtol=0, atol=0)


@pytest.mark.parametrize(
    "other", [{"batch": False}, {"jaccard": True}, {"reduction": "sum"}, {"weight": torch.ones(3)}]
)
def test_another_dice(other):
    with pytest.raises(ValueError, match="JointDiceCELoss"):
        JointDiceCELoss(**{"to_onehot_y": True, "softmax": True, "batch": True, **other})
