"""Programs and data around the networks: MONAI Label, the bundles and their weights, what fits into the memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from components.files import read_json

from ..bundle.find import ROOT, bundle_names, find_bundle
from ..errors import UserError
from ..label.environment import INSTALL
from ..memory import available, bundle_gib, largest_batch
from .finding import NOTE, PROBLEM, Finding

TOPIC = "Around the networks"
LABEL = ROOT / ".venv-label" / "bin" / "python"


def findings() -> Iterator[Finding]:
    """MONAI Label, and for each bundle of the checkout its weights and the batch that fits."""
    yield _label()
    names = bundle_names("train.json")
    if not names:
        remedy = "scanseg zoo fetch NAME --out bundles, or work in a clone of the repository"
        yield Finding(TOPIC, "bundles", "none", NOTE, remedy)
    for bundle in names:
        yield _bundle(bundle)


def _label() -> Finding:
    python = Path(os.environ.get("SCANSEG_LABEL_PYTHON", LABEL))
    if not python.is_file():
        return Finding(TOPIC, "MONAI Label", f"there is no {python}", NOTE, INSTALL)
    code = "import importlib.metadata as m; print(m.version('monailabel'))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return Finding(TOPIC, "MONAI Label", f"not in the environment of {python}", PROBLEM, INSTALL)
    return Finding(TOPIC, "MONAI Label", f"{done.stdout.strip()}, {python}")


def _bundle(name: str) -> Finding:
    """Its weights, and how large a batch this machine trains."""
    try:
        root = find_bundle(name)
        content = read_json(root / "configs" / "train.json")
        memory = available()
        recipe = content["batch_size"]
        batch = largest_batch(content, memory.mixed, memory.gib)
    except (UserError, LookupError, TypeError, ValueError) as error:
        return Finding(TOPIC, name, f"its train.json cannot be read: {error}", PROBLEM, f"scanseg zoo verify {name}")
    weights = "with weights" if (root / "models" / "model.pt").is_file() else "without weights"
    if batch >= recipe:
        return Finding(TOPIC, name, f"{weights}; the recipe's batch of {recipe} fits into {memory.gib:.1f} GiB")
    needed = bundle_gib(content, recipe, memory.mixed)
    text = f"{weights}; the recipe's batch of {recipe} takes about {needed:.1f} GiB, {memory.gib:.1f} are free"
    remedy = f"--batch_size {batch}" if batch else "a smaller patch"
    return Finding(TOPIC, name, text, NOTE, remedy)
