"""``--plan``: the batches that fit into a memory, by the estimate of ``scanseg new``."""

from __future__ import annotations

from collections.abc import Sequence

from ..memory import Memory, bundle_gib, largest_batch
from ..tables import Table
from .bundles import config

PRECISIONS = {"training, float32": False, "training, mixed precision": True}


def table(memory: Memory, bundles: Sequence[str]) -> Table:
    """The recipe's batch and the largest one of each bundle.

    Args:
        memory: to plan for.
        bundles: names or folders.
    """
    lines = []
    for bundle in bundles:
        root, content = config(bundle)
        size = content.get("roi_size") or content["patch_size"]
        recipe = content["batch_size"]
        for mode, mixed in PRECISIONS.items():
            if mixed and "roi_size" in content:  # there is no estimate of MSVM-UNet in mixed precision
                continue
            batch = largest_batch(content, mixed, memory.gib)
            lines.append(
                (
                    root.name,
                    " × ".join(map(str, size)),
                    mode,
                    f"{recipe} ({bundle_gib(content, recipe, mixed):.1f} GiB)",
                    f"{batch} ({bundle_gib(content, batch, mixed):.1f} GiB)" if batch else "none",
                )
            )
    columns = ("bundle", "patch", "mode", "recipe's batch", "largest batch")
    return Table("What fits", f"{memory}. Estimates of `scanseg new`.", columns, lines)
