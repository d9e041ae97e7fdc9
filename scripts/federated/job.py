"""``federated``: the training of a bundle as a job of NVIDIA FLARE, to be simulated here or to be submitted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import torch
from monai.bundle import ConfigParser

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


def simulate(
    bundle: str,
    sites: Sequence[str],
    out: str,
    rounds: int = 2,
    epochs: int = 1,
    weights: str | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Train a bundle over several data sets on this machine, as a federation of sites would.

    In each round every site trains the common weights on its own data, and then they are averaged by the number of
    iterations. OUT/model.pt has the weights with the best mean score on the sites' validation lists, or those of the
    last round where no site has validation cases; give OUT as --ckpt_dir to the bundle's evaluation or inference.

    Args:
        bundle: name or folder of the bundle.
        sites: the dataset_dir of each site, two or more, separated by commas.
        out: folder to make, for the model and the files of the simulation.
        rounds: how often the weights are averaged.
        epochs: epochs of each site in each round.
        weights: state dict to start from; random weights by default.
        settings: overrides for the bundle's train.json, as a dictionary.

    Example:
        scanseg federated simulate bundles/msvm_acdc --sites data/a,data/b --out federation --rounds 10
    """
    folders = [Path(sites)] if isinstance(sites, str) else [Path(site) for site in sites]
    for folder in folders:
        if not (folder / "datalist.json").is_file():
            raise UserError(f"--sites {folder} is no dataset_dir, as it has no datalist.json: see scanseg data prepare")
    if len(folders) < 2:
        raise UserError(f"--sites {folders[0]} is one data set: give two or more, separated by commas")
    job = FederatedJob(bundle, rounds, epochs, weights, settings)
    target = _new_folder(out)
    job.write_initial(target / INITIAL)
    recipe = job.recipe(len(folders), str(target / INITIAL))

    from nvflare.recipe import SimEnv
    from nvflare.recipe.utils import set_per_site_config

    clients = {f"site-{number}": folder.resolve() for number, folder in enumerate(folders, start=1)}
    arguments = {
        name: {"train_args": job.arguments(dataset_dir=folder, output_dir=target / name)}
        for name, folder in clients.items()
    }
    set_per_site_config(recipe, arguments)
    try:
        recipe.run(SimEnv(clients=list(clients), workspace_root=str(target / "simulation")))
    except RuntimeError as error:
        raise UserError(f"a site failed, see above and the files log.txt in {target / 'simulation'}") from error
    for name in (BEST, LAST):
        if found := sorted((target / "simulation").rglob(name)):
            break
    else:
        raise UserError(f"the simulation ended without a model: see the files log.txt in {target / 'simulation'}")
    with replacing(target / "model.pt") as partial:
        torch.save(dict(torch.load(found[0], map_location="cpu", weights_only=True)["model"]), partial)
    print(f"{target / 'model.pt'} has the weights of the {'best' if name == BEST else 'last'} round")


def export(
    bundle: str,
    out: str,
    clients: int = 2,
    rounds: int = 100,
    epochs: int = 1,
    weights: str | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write the job of a federated training, to be submitted to the server of a federation.

    Every site has scanseg and the bundle installed, the bundle at the same path everywhere, and names its own data set
    in the environment variable SCANSEG_DATASET_DIR of its client.

    Args:
        bundle: folder of the bundle, as the sites have it; it is read here, too.
        out: folder to make for the job.
        clients: number of sites that must be there.
        rounds: how often the weights are averaged.
        epochs: epochs of each site in each round.
        weights: state dict to start from; random weights by default.
        settings: overrides for the bundle's train.json, as a dictionary.

    Example:
        scanseg federated export bundles/msvm_acdc --out job --clients 3
    """
    job = FederatedJob(bundle, rounds, epochs, weights, settings)
    target = _new_folder(out)
    recipe = job.recipe(clients, INITIAL, job.arguments())
    recipe.export(str(target))
    for server in target.glob("*/app*"):
        if (server / "config" / "config_fed_server.json").is_file():
            job.write_initial(server / "custom" / INITIAL)
    print(f"{target / NAME} is ready: nvflare job submit -j {target / NAME}")


class FederatedJob:
    """The training of a bundle by rounds.

    Args:
        bundle: its folder.
        rounds: how often the weights are averaged.
        epochs: epochs of each site in each round.
        weights: state dict to start from; those that the config makes by default.
        settings: overrides for train.json.

    Raises:
        UserError: if NVIDIA FLARE is not installed, there is no such bundle, a number is too small, or there are no
            such weights.
    """

    def __init__(
        self, bundle: str, rounds: int, epochs: int, weights: str | None, settings: dict[str, Any] | None
    ) -> None:
        try:
            import nvflare  # noqa: F401
        except ImportError as error:
            raise UserError("federated training needs NVIDIA FLARE: pip install 'scanseg[federated]'") from error
        self.bundle = find_bundle(bundle, "train.json", "bundle")
        if rounds < 1 or epochs < 1:
            raise UserError(f"--rounds and --epochs must be 1 or more, not {rounds} and {epochs}")
        if weights is not None and not Path(weights).is_file():
            raise UserError(f"--weights {weights} does not exist")
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


def _new_folder(out: str) -> Path:
    target = Path(out).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"--out {out} exists already: choose another folder")
    target.mkdir(parents=True, exist_ok=True)
    return target
