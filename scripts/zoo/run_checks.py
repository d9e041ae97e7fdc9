"""The checks that run a bundle: the program of the isolated process. It imports MONAI, and the bundle's components.

``run_checks.py JOB.json`` writes one line of JSON a check to its standard output; what the checks print goes to a log.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import monai.bundle
import torch

TOLERANCE = 1e-4
"""Largest difference of an exported network from the one in PyTorch, in units of the largest logit, or of 1 if that is
less. Logits of xLSTM-UNet with random weights reach 50, of which float32 itself is uncertain by some 1e-5."""
NETWORK = "network_def"


class Skip(Exception):
    """A check that cannot be made here, with the reason."""


class CheckedBundle:
    """A bundle and what its checks share.

    Args:
        job: root, components, installed (whether the bundle relies on an installed scanseg), name, weights,
            dataset_dir, schema, exporter and work, a folder for files.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.root, self.name = Path(job["root"]), job["name"]
        self.dataset_dir, self.schema, self.exporter = job["dataset_dir"], job["schema"], job["exporter"]
        self.work = Path(job["work"])
        self.weights = job["weights"]
        self.meta_file = str(self.root / "configs" / "metadata.json")
        self.settings = {"bundle_root": str(self.root), "device": "$torch.device('cpu')"}
        if "previous_dir" in json.loads(Path(self.config("inference")).read_text(encoding="utf-8")):  # a cascade
            self.settings["previous_dir"] = self.dataset_dir
        self.shape: list[int] = []

    def config(self, name: str) -> str:
        """Path of a config."""
        return str(self.root / "configs" / f"{name}.json")

    def network(self) -> torch.nn.Module:
        """A network as the inference config defines it, on the CPU, with the weights of these checks.

        Weights are those of the bundle; where it has none, the first network's random ones.
        """
        parser = monai.bundle.ConfigParser()
        parser.read_config(self.config("inference"))
        parser.read_meta(self.meta_file)
        parser.update(self.settings)
        torch.manual_seed(0)
        network = parser.get_parsed_content(NETWORK).eval()
        if self.weights is None:
            self.weights = str(self.work / "model.pt")
            torch.save(network.state_dict(), self.weights)
        network.load_state_dict(torch.load(self.weights, map_location="cpu", weights_only=True))
        self.shape = self.shape or input_shape(network, parser)
        return network

    def export(self, function: Callable[..., None], path: Path, **more: Any) -> torch.nn.Module:
        """Export by a command of MONAI, and return the network that was exported."""
        network = self.network()
        function(
            net_id=NETWORK,
            filepath=str(path),
            ckpt_file=self.weights,
            meta_file=self.meta_file,
            config_file=self.config("inference"),
            input_shape=self.shape,
            **more,
            **self.settings,
        )
        return network

    def load(self, **settings: Any) -> Any:
        """Load the weights of these checks by MONAI's load, which finds no place to download from."""
        place = {"bundle_dir": str(self.root.parent), "source": "github", "repo": "none/none/none"}
        return monai.bundle.load(self.name, **{**place, "model_file": self.weights, "device": "cpu", **settings})


def input_shape(network: torch.nn.Module, parser: monai.bundle.ConfigParser) -> list[int]:
    """A small input that the network takes, (1, channels, *spatial).

    That is the one of the metadata, with 1 for the free numbers in it. A network that says what it takes gets that: its
    planned size where it takes no other, and else twice what its sizes must be divisible by.
    """
    image = parser["_meta_::network_data_format::inputs::image"]
    sizes = [eval_size(size) for size in image["spatial_shape"]]
    stride = getattr(network, "total_stride", None)
    if stride is not None:
        sizes = list(network.patch_size) if network.fixed_size else [2 * size for size in stride]
    return [1, image["num_channels"], *sizes]


def eval_size(size: int | str) -> int:
    """Size of one axis for n = p = 1: a number, the number in such as ``"32*n"``, or 1 for ``"*"``."""
    digits = "".join(letter if letter.isdigit() else " " for letter in str(size)).split()
    return int(digits[0]) if digits else 1


def metadata(bundle: CheckedBundle) -> str:
    """MONAI's verify_metadata against the schema."""
    needs("jsonschema")
    with contextlib.redirect_stdout(sys.stderr):
        monai.bundle.verify_metadata(meta_file=bundle.meta_file, filepath=bundle.schema)
    return ""


def in_out(bundle: CheckedBundle) -> str:
    """MONAI's verify_net_in_out: the network takes and gives the channels and types of the metadata."""
    bundle.network()
    spatial = {"_meta_::network_data_format::inputs::image::spatial_shape": bundle.shape[2:]}
    monai.bundle.verify_net_in_out(
        net_id=NETWORK,
        meta_file=bundle.meta_file,
        config_file=bundle.config("inference"),
        **spatial,
        **{**bundle.settings, "device": "cpu"},
    )
    return "input " + " × ".join(map(str, bundle.shape))


def properties(config: str, kind: str, run_id: str, bundle: CheckedBundle) -> str:
    """MONAI's check_properties, and whether the ids exist that are run."""
    workflow = monai.bundle.ConfigWorkflow(
        config_file=bundle.config(config),
        meta_file=bundle.meta_file,
        logging_file=str(bundle.root / "configs" / "logging.conf"),
        workflow_type=kind,
        dataset_dir=bundle.dataset_dir,
        output_dir=str(bundle.work / "output"),
        **bundle.settings,
    )
    workflow.initialize()
    if wrong := workflow.check_properties():
        raise ValueError(f"missing or in the wrong place: {', '.join(wrong)}")
    for name in ("run", run_id):
        if not workflow.parser.get(name):
            raise ValueError(f"there is no {name!r} to run")
    return ""


def loaded_with(bundle: CheckedBundle) -> str:
    """MONAI's load into a given network takes over every tensor."""
    network = bundle.network()
    fresh = copy.deepcopy(network)
    for parameter in fresh.parameters():
        torch.nn.init.zeros_(parameter.data)
    compare(network, bundle.load(model=fresh))
    return ""


def loaded_without(bundle: CheckedBundle) -> str:
    """MONAI's load makes the network itself, by the training and by the inference config."""
    network = bundle.network()
    for kind in ("train", "inference"):
        settings = {**bundle.settings, "dataset_dir": bundle.dataset_dir, "output_dir": str(bundle.work / "output")}
        compare(network, bundle.load(workflow_type=kind, args_file=settings))
    return ""


def torchscript(bundle: CheckedBundle) -> str:
    """MONAI's ckpt_export, by tracing, and the agreement of the result."""
    path = bundle.work / "model.ts"
    network = bundle.export(monai.bundle.ckpt_export, path, use_trace=True, converter_kwargs={"check_trace": False})
    module, meta, _ = bundle.load(load_ts_module=True, model_file=str(path))
    if not meta.get("network_data_format"):
        raise ValueError("the exported file lacks the metadata")
    x = example(bundle)
    with torch.no_grad():
        return agreement(network(x), module(x))


def onnx(bundle: CheckedBundle) -> str:
    """MONAI's onnx_export, and the agreement of what ONNX Runtime makes of it."""
    needs("onnx", "onnxscript", "onnxruntime")
    import onnxruntime

    path = bundle.work / "model.onnx"
    newer = bundle.exporter == "dynamo"
    network = bundle.export(
        monai.bundle.onnx_export, path, use_trace=not newer, converter_kwargs={} if newer else {"dynamo": False}
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = example(bundle)
    (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    with torch.no_grad():
        return agreement(network(x), torch.from_numpy(out))


CHECKS: dict[str, Callable[[CheckedBundle], str]] = {
    "verify_metadata": metadata,
    "verify_net_in_out": in_out,
    "train properties": partial(properties, "train", "train", "training"),
    "inference properties": partial(properties, "inference", "infer", "inferring"),
    "load with a network": loaded_with,
    "load": loaded_without,
    "ckpt_export": torchscript,
    "onnx_export": onnx,
}


def compare(network: torch.nn.Module, other: torch.nn.Module) -> None:
    """Raise ValueError unless two networks have equal tensors."""
    state = other.state_dict()
    for name, tensor in network.state_dict().items():
        if name not in state or not torch.equal(tensor, state[name]):
            raise ValueError(f"{name} was not loaded")


def example(bundle: CheckedBundle) -> torch.Tensor:
    """An input that the export has not seen."""
    return torch.randn(bundle.shape, generator=torch.Generator().manual_seed(1))


def agreement(expected: torch.Tensor, found: torch.Tensor) -> str:
    """Largest difference as text; ValueError if it is too large."""
    if found.shape != expected.shape or not torch.isfinite(found).all():
        raise ValueError(f"the output has shape {tuple(found.shape)}, not {tuple(expected.shape)}, or is not finite")
    largest, difference = float(expected.abs().max()), float((found - expected).abs().max())
    told = f"largest difference {difference:.1e}, largest logit {largest:.1f}"
    if difference > TOLERANCE * max(1.0, largest):
        raise ValueError(f"{told}: more than {TOLERANCE:.0e} of it")
    return told


def needs(*packages: str) -> None:
    """Raise Skip where an optional package is missing."""
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            raise Skip(f"needs the package {package}: install the extra scanseg[export,label]") from error


@contextlib.contextmanager
def fresh_start() -> Iterator[None]:
    """Give a check the search path and the modules of a new process, as far as the bundle can see."""
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] == "components"]:
            del sys.modules[name]


def reason(error: BaseException) -> str:
    """The cause of an error in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join([f"{type(error).__name__}:", *lines[:4]])[:400]


def main(job: dict[str, Any]) -> None:
    """Run all checks of a job and print the results."""
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the checks print goes where errors go
    warnings.simplefilter("ignore")
    bundle = CheckedBundle(job)
    if job["installed"]:
        sys.path.append(str(Path(job["components"]).parent))
    for name in job["checks"]:
        status, why = "ok", ""
        with fresh_start(), tempfile.TemporaryDirectory(dir=bundle.work) as folder:
            os.chdir(folder)
            try:
                why = CHECKS[name](bundle)
                where = Path(sys.modules["components"].__file__ or "").parent if "components" in sys.modules else None
                if where is not None and where.resolve() != Path(job["components"]).resolve():
                    raise ImportError(f"components came from {where}")
                if left := os.listdir("."):
                    raise ValueError(f"{left[0]} was written into the current folder")
            except Skip as error:
                status, why = "skipped", str(error)
            except Exception as error:  # whatever a bundle does is a result
                traceback.print_exc()
                status, why = "FAILED", reason(error)
            os.chdir(bundle.work)
        print(json.dumps({"check": name, "status": status, "why": why}), file=results, flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
