"""``federated export``: write the job of a federated training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import check_free
from ..hints import Count
from .job import INITIAL, NAME, FederatedJob


def export(
    bundle: str,
    out: str,
    clients: Count = 2,
    rounds: Count = 100,
    epochs: Count = 1,
    weights: str | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write the job of a federated training, to submit it to the server of a federation.

    Every site has scanseg and the bundle installed, the bundle at the same path everywhere, and names its own data set
    in the environment variable SCANSEG_DATASET_DIR of its client.

    Args:
        bundle: folder of the bundle, at the same path as on the sites; it is also read here.
        out: folder to make for the job.
        clients: number of sites that must take part.
        rounds: how often the weights are averaged.
        epochs: epochs of each site in each round.
        weights: state dict to start from; random weights by default.
        settings: overrides for the bundle's train.json, as a dictionary.

    Example:
        scanseg federated export bundles/msvm_acdc --out job --clients 3
    """
    job = FederatedJob(bundle, rounds, epochs, weights, settings)
    target = Path(out).resolve()
    check_free(target)
    target.mkdir(parents=True, exist_ok=True)
    recipe = job.recipe(clients, INITIAL, job.arguments())
    recipe.export(str(target))
    for server in target.glob("*/app*"):
        if (server / "config" / "config_fed_server.json").is_file():
            job.write_initial(server / "custom" / INITIAL)
    print(f"{target / NAME} is ready: nvflare job submit -j {target / NAME}")
