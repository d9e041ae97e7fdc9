"""``federated simulate``: train a bundle over several data sets on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.files import replacing

from ..errors import UserError
from ..files import check_free
from ..hints import Count, separated
from .job import BEST, INITIAL, LAST, FederatedJob


def simulate(
    bundle: str,
    sites: str | Sequence[str],
    out: str,
    rounds: Count = 2,
    epochs: Count = 1,
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
    folders = _checked_sites(separated(sites))
    job = FederatedJob(bundle, rounds, epochs, weights, settings)
    target = Path(out).resolve()
    check_free(target)
    if " " in sys.executable:  # FLARE divides its command line at spaces
        raise UserError(
            f"NVIDIA FLARE cannot start {sys.executable}, which has a space in its path: "
            "use an environment in another folder"
        )
    target.mkdir(parents=True, exist_ok=True)
    job.write_initial(target / INITIAL)
    kind = _simulate(job, folders, target)
    print(f"{target / 'model.pt'} has the weights of the {kind} round")


def _checked_sites(sites: Sequence[str]) -> list[Path]:
    folders = [Path(site) for site in sites]
    for folder in folders:
        if not (folder / "datalist.json").is_file():
            raise UserError(
                f"--sites {folder} is not a dataset_dir, as it has no datalist.json: see scanseg data prepare"
            )
    if len(folders) < 2:
        raise UserError(f"--sites has {len(folders)}: give two data sets or more, separated by commas")
    return folders


def _simulate(job: FederatedJob, folders: Sequence[Path], target: Path) -> str:
    """Run FLARE's simulator and write model.pt; returns which round its weights are of, best or last."""
    import torch
    from nvflare.recipe import SimEnv
    from nvflare.recipe.utils import set_per_site_config

    recipe = job.recipe(len(folders), str(target / INITIAL))
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
    for name, kind in ((BEST, "best"), (LAST, "last")):
        if found := sorted((target / "simulation").rglob(name)):
            with replacing(target / "model.pt") as partial:
                torch.save(dict(torch.load(found[0], map_location="cpu", weights_only=True)["model"]), partial)
            return kind
    raise UserError(f"the simulation ended without a model: see the files log.txt in {target / 'simulation'}")
