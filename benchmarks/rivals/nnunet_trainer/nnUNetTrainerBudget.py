"""nnU-Net's own trainer with a budget; nnU-Net finds it by the environment variable nnUNet_extTrainer.

What to do is in the JSON file that SCANSEG_RIVAL names: iterations and cpu_seconds (at most), epochs (aim), threads,
seed, validations, validation_cases, folder. Only nnU-Net and PyTorch are imported.
"""

from __future__ import annotations

import copy
import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

TRIED = 4


class nnUNetTrainerBudget(nnUNetTrainer):
    """Trains as many iterations as fit; counts the CPU seconds of each; validates on patches now and then."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device | None = None,
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device or torch.device("cpu"))
        self.spec = json.loads(Path(os.environ["SCANSEG_RIVAL"]).read_text(encoding="utf-8"))
        self.folder = Path(self.spec["folder"])
        torch.set_num_threads(self.spec["threads"])
        self.save_every = 1
        self.logger.plot_progress_png = lambda folder: None  # a picture of nnU-Net's own after each epoch
        self.clock = {"steps": [], "validations": []}
        if (self.folder / "schedule.json").is_file():
            self._take(json.loads((self.folder / "schedule.json").read_text(encoding="utf-8")))

    def _take(self, schedule: dict[str, Any]) -> None:
        self.num_epochs, self.num_iterations_per_epoch = schedule["epochs"], schedule["length"]

    def on_train_start(self) -> None:
        """Begin; a new training tries a few steps, forgets them, and takes its length from their time."""
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(self.spec["seed"] + 1000 * self.current_epoch)
        super().on_train_start()
        if not (self.folder / "schedule.json").is_file():
            self._plan()
        elif (self.folder / "clock.json").is_file():
            self.clock = json.loads((self.folder / "clock.json").read_text(encoding="utf-8"))
        done = self.current_epoch * self.num_iterations_per_epoch
        self.clock["steps"] = self.clock["steps"][:done]
        self.clock["validations"] = [row for row in self.clock["validations"] if row[0] <= done]
        self.lr_scheduler = PolyLRScheduler(self.optimizer, self.initial_lr, self.num_epochs)

    def _plan(self) -> None:
        weights = copy.deepcopy(self.network.state_dict())
        state = copy.deepcopy(self.optimizer.state_dict())
        times = []
        self.network.train()
        for _ in range(TRIED):
            begin = time.process_time()
            self.train_step(next(self.dataloader_train))
            times.append(time.process_time() - begin)
        self.network.load_state_dict(weights)
        self.optimizer.load_state_dict(state)
        step = statistics.median(times[1:])
        fitting = max(4, min(self.spec["iterations"], int(self.spec["cpu_seconds"] / step)))
        length = max(1, fitting // self.spec["epochs"])
        schedule = {"step_seconds": step, "epochs": fitting // length, "length": length}
        self._take(schedule)
        self._write("schedule.json", schedule)

    def on_epoch_start(self) -> None:
        """Validate on as many patches as there are validation cases in some epochs, else on one batch."""
        super().on_epoch_start()
        every = max(1, self.num_epochs // self.spec["validations"])
        batch = self.configuration_manager.batch_size
        self.validating = (self.current_epoch + 1) % every == 0
        self.num_val_iterations_per_epoch = -(-self.spec["validation_cases"] // batch) if self.validating else 1

    def on_train_epoch_start(self) -> None:
        """Start the clock of the first iteration."""
        super().on_train_epoch_start()
        self.began = time.process_time()

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A step; its time includes the loading of its batch."""
        result = super().train_step(batch)
        if hasattr(self, "began"):
            now = time.process_time()
            self.clock["steps"].append(now - self.began)
            self.began = now
        return result

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Keep nnU-Net's own estimate of the Dice."""
        super().on_validation_epoch_end(val_outputs)
        if self.validating:
            dice = float(self.logger.get_value("mean_fg_dice", step=-1))
            self.clock["validations"].append([len(self.clock["steps"]), dice])

    def on_epoch_end(self) -> None:
        """Write the clock."""
        super().on_epoch_end()
        self._write("clock.json", self.clock)

    def on_train_end(self) -> None:
        """Write the peak of the memory and the number of parameters."""
        super().on_train_end()
        status = Path("/proc/self/status")
        lines = status.read_text(encoding="ascii").splitlines() if status.is_file() else []
        peak = next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)
        count = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        self._write("training.json", {"peak_bytes": peak, "parameters": count, "torch": str(torch.__version__)})

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """None: the test cases are predicted by nnUNetv2_predict."""

    def _write(self, name: str, content: dict[str, Any]) -> None:
        partial = self.folder / f".{name}.partial"
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(self.folder / name)
