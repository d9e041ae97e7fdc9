"""The training of a bundle as a job of NVIDIA FLARE."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from components.files import replacing

from ..bundle.find import find_bundle
from ..errors import UserError

if TYPE_CHECKING:
    from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe

CLIENT = Path(__file__).with_name("client.py")
NAME = "scanseg"
INITIAL, LAST, BEST = "initial.pt", "last_round.pt", "best_round.pt"
METRIC = "val_mean_dice"
SAFE = '/\\:,"{}[]'
"""What stays readable in the client's command line."""


class FederatedJob:
    """The training of a bundle by rounds.

    Args:
        bundle: its folder.
        rounds: how often the weights are averaged.
        epochs: epochs of each site in each round.
        weights: state dict to start from; those that the config makes by default.
        settings: overrides for train.json.

    Raises:
        UserError: if NVIDIA FLARE is not installed, there is no such bundle, or there are no such weights.
    """

    def __init__(
        self, bundle: str, rounds: int, epochs: int, weights: str | None, settings: dict[str, Any] | None
    ) -> None:
        self.bundle = find_bundle(bundle, "train.json", "bundle")
        if weights is not None and not Path(weights).is_file():
            raise UserError(f"--weights {weights} does not exist")
        if importlib.util.find_spec("nvflare") is None:
            raise UserError("federated training needs NVIDIA FLARE: pip install 'scanseg[federated]'")
        self.rounds, self.epochs, self.weights = rounds, epochs, weights
        # The schedule of the learning rate spans the rounds.
        self.settings = {"max_epochs": rounds * epochs, **(settings or {})}

    def arguments(self, **own: Path) -> str:
        """Command line of :mod:`scripts.federated.client`; ``own`` are those of one site."""
        given = {"bundle": self.bundle, "epochs": self.epochs, "settings": json.dumps(self.settings), **own}
        # FLARE divides the line at spaces, whatever the quotes.
        return " ".join(f"--{name} {quote(str(value), safe=SAFE)}" for name, value in given.items())

    def write_initial(self, path: Path) -> None:
        """Write the weights to start from."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.weights is not None:
            shutil.copyfile(self.weights, path)
            return
        import torch
        from monai.bundle import ConfigParser

        parser = ConfigParser()
        parser.read_config(self.bundle / "configs" / "train.json")
        parser.update({"bundle_root": str(self.bundle), **self.settings})
        torch.manual_seed(parser.get_parsed_content("seed"))
        with replacing(path) as partial:
            torch.save(parser.get_parsed_content("network_def").state_dict(), partial)

    def recipe(self, clients: int, initial: str, arguments: str = "") -> FedAvgRecipe:
        """FLARE's federated average.

        Args:
            clients: number of sites.
            initial: path of the weights to start from, absolute or within the server's part of the job.
            arguments: command line of the client, where it is the same for all sites.
        """
        from nvflare.app_opt.pt.file_model_persistor import PTFileModelPersistor
        from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe

        return FedAvgRecipe(
            name=NAME,
            min_clients=clients,
            num_rounds=self.rounds,
            train_script=str(CLIENT),
            train_args=arguments,
            key_metric=METRIC,
            # Weights in a file instead of a network: the server needs nothing of the bundle.
            model_persistor=PTFileModelPersistor(
                source_ckpt_file_full_name=initial,
                global_model_file_name=LAST,
                best_global_model_file_name=BEST,
            ),
        )
