"""Read the golden cases: weights and inputs are made from names, results are stored (tests/golden/README.md)."""

import functools
import json
import zlib
from pathlib import Path

import numpy as np
import torch

from components.networks import MSVMUNet, XLSTMUNet

FOLDER = Path(__file__).parent / "golden"


class GoldenCase:
    """One published network with deterministic weights, one input, and what the authors' code makes of it."""

    def __init__(self, name):
        fields = json.loads((FOLDER / f"{name}.json").read_text())
        self.name = name
        self.config = fields["config"]
        self.aliases = fields["aliases"]
        self.unused = fields["unused"]
        self.training = fields["mode"] == "train"
        self.loss = fields["loss"]
        self.gradient_norms = fields["gradient_norms"]
        self.input_gradient_norm = fields["input_gradient_norm"]
        self.buffers_after = fields.get("buffers_after", {})
        self.summaries = fields["outputs"]
        self._shapes = fields["state"]
        self._input = fields["input"]
        with np.load(FOLDER / f"{name}.npz") as file:
            self.outputs = [torch.from_numpy(file[f"output_{i}"]) for i in range(len(file.files))]

    @functools.cached_property
    def state(self):
        """The state dict as a published checkpoint holds it, aliases included."""
        state = {name: published_tensor(name, shape) for name, shape in self._shapes.items()}
        return state | {alias: state[name] for alias, name in self.aliases.items()}

    @property
    def input(self):
        return normal(self._input["tag"], self._input["shape"])

    def network(self):
        """Our network in the mode of the case, in which every value is −1; drawing the first values takes seconds."""
        with torch.device("meta"):
            network = self._network().train(self.training)
        network.to_empty(device="cpu")
        for tensor in network.state_dict().values():
            tensor.fill_(-1)
        return network

    def _network(self):
        if self.name.startswith("msvm"):
            sizes = {name: self.config[name] for name in ("encoder", "depths")} | {"features": self.config["dims"]}
            rates = {"drop_path_rate": 0.0, "decoder_drop_path_rate": 0.0} if self.training else {}
            return MSVMUNet(self._input["shape"][1], self.config["num_classes"], **sizes, **rates)
        renamed = {"num_classes": "out_channels", "features_per_stage": "features"}
        return XLSTMUNet(**{renamed.get(name, name): value for name, value in self.config.items()})

    def loss_of(self, outputs):
        """Sum over the outputs of their mean product with fixed noise."""
        weights = (normal(f"{self._input['tag']}.weight_{i}", output.shape) for i, output in enumerate(outputs))
        return sum((output * weight).mean() for output, weight in zip(outputs, weights, strict=True))


def normal(seed, shape):
    """Standard normal float32 numbers that depend on nothing but the seed's text and the shape."""
    draws = np.random.RandomState(zlib.crc32(seed.encode())).standard_normal(tuple(shape))
    return torch.from_numpy(np.asarray(draws, np.float32))


def published_tensor(name, shape):
    """The deterministic value of a published parameter or buffer, of a size that keeps activations near 1."""
    noise = normal(name, shape)
    match name.rsplit(".", 1)[-1]:
        case "num_batches_tracked":
            return torch.zeros(noise.shape, dtype=torch.int64)
        case "running_var":
            return 1 + 0.1 * noise.abs()
        case "running_mean" | "bias" | "A_logs" | "dt_projs_bias":
            return 0.1 * noise
    if noise.ndim <= 1:
        return 1 + 0.1 * noise
    return noise / np.float32(np.sqrt(np.prod(noise.shape[1:])))
