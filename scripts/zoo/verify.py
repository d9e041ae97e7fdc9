"""``zoo verify``: all checks of a model zoo, offline."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from components.validation import check_choice

from ..bundle.find import find_bundle
from ..errors import UserError
from .archive import SUMS, Unsafe, check_zip, unpack
from .contents import MODEL, ROOT, Target, bundle_names

SCHEMA = Path(__file__).with_name("meta_schema_20240725.json")
HERE = Path(__file__).parent
EXPORTERS = ("dynamo", "torchscript")
RUNNING = (
    "verify_metadata", "verify_net_in_out", "train properties", "inference properties", "load with a network", "load",
    "ckpt_export", "onnx_export",
)  # fmt: skip
"""Checks of run_checks.py, in order."""
EXPORTS = ("ckpt_export", "onnx_export")
PATIENCE = 3600
"""Seconds after which the checks of one bundle are given up."""


@dataclass(frozen=True)
class Result:
    """Outcome of one check.

    Args:
        check: its name.
        status: "ok", "FAILED" or "skipped".
        why: a reason, or what was measured.
    """

    check: str
    status: str
    why: str = ""

    def line(self) -> str:
        """As it is printed."""
        return f"  {self.status:<7}  {self.check}{f': {self.why}' if self.why else ''}"


def verify(
    *targets: str,
    schema: str | None = None,
    static: bool = False,
    export: bool = True,
    exporter: str = "dynamo",
    trust_code: bool = False,
    log: str | None = None,
) -> int:
    """Run every check of a model zoo, offline; one line each.

    First come the checks that run nothing of the bundle: the zip, its files, version and hashes, logging.conf, the
    configs, the pickle of the weights, and whether the code is that of this scanseg. Only if all pass, MONAI's own
    follow: verify_metadata, verify_net_in_out, the properties of training and inference, load, ckpt_export and
    onnx_export with the agreement of the results. They run in a separate process, in an empty folder, that sees no
    other copy of the components.

    Args:
        targets: names of bundles, folders or zips; by default all bundles of the checkout.
        schema: JSON schema of the metadata; by default one that comes with scanseg.
        static: whether to make only the checks that run nothing.
        export: whether to export; it takes the most time.
        exporter: "dynamo", the newer exporter of ONNX, which is MONAI's default, or "torchscript", which is faster.
        trust_code: run components that are not those of this scanseg.
        log: file for all that the checks print.

    Returns:
        0, or 1 if a check failed.

    Example:
        scanseg zoo verify dist/msvm_acdc_v0.1.0.zip
    """
    check_choice("exporter", exporter, EXPORTERS)
    schema_path = Path(schema) if schema is not None else SCHEMA
    if not schema_path.is_file():
        raise FileNotFoundError(f"{schema_path} does not exist: give a JSON schema with --schema")
    failed = False
    with open(log if log is not None else os.devnull, "w", encoding="utf-8") as file:
        for target in map(str, targets or bundle_names()):
            print(target)
            checks = () if static else [name for name in RUNNING if export or name not in EXPORTS]
            for result in check_bundle(target, checks, schema_path.resolve(), exporter, trust_code, file):
                print(result.line(), flush=True)
                failed |= result.status == "FAILED"
    return int(failed)


def check_bundle(
    target: str,
    checks: tuple[str, ...] | list[str] = (),
    schema: Path = SCHEMA,
    exporter: str = "dynamo",
    trust_code: bool = False,
    log: IO[str] | None = None,
) -> Iterator[Result]:
    """Check one bundle; results come as they are known.

    Args:
        target: name, folder or zip.
        checks: which of :data:`RUNNING` are made after the static ones.
        schema: JSON schema of the metadata.
        exporter: of ONNX.
        trust_code: run components that are not those of this scanseg.
        log: an open file for all that the checks print.
    """
    with tempfile.TemporaryDirectory(prefix="scanseg_verify_") as work, contextlib.ExitStack() as stack:
        try:
            found = _open(target, Path(work), trust_code)
        except Unsafe as error:
            yield Result("zip", "FAILED", str(error))
            return
        if target.endswith(".zip"):
            yield Result("zip", "ok")

        from .static_checks import CHECKS

        sound = True
        for name, check in CHECKS.items():
            if (name == "sums" and not found.packed) or (name == "code" and found.own):
                continue
            result = _static(name, check, found)
            sound &= result.status == "ok"
            yield result
        if not sound:
            yield from (Result(name, "skipped", "nothing is run after a failure above") for name in checks)
            return
        file = log or stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        yield from _run(found, Path(work), list(checks), schema, exporter, file)


def _open(target: str, work: Path, trusted: bool) -> Target:
    path = Path(target)
    if path.suffix == ".zip":
        name = check_zip(path)
        folder = work / "unpacked"
        folder.mkdir()
        return Target(name, unpack(path, folder), own=False, packed=True, trusted=trusted)
    if not path.is_dir():
        path = find_bundle(target, "metadata.json", "bundle")
    path = path.resolve()
    if not (path / "configs").is_dir():
        raise UserError(f"{target} is not the folder of a bundle: it has no configs")
    own, packed = not (path / "components").exists(), (path / SUMS).is_file()
    return Target(path.name, path, own, packed, trusted)


def _static(name: str, check: Any, found: Target) -> Result:
    try:
        check(found)
    except (UserError, ValueError, OSError, SyntaxError) as error:
        text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)
        return Result(name, "FAILED", " ".join(text.replace(f"{found.root}{os.sep}", "").split()))
    return Result(name, "ok")


def _run(found: Target, work: Path, checks: list[str], schema: Path, exporter: str, log: IO[str]) -> Iterator[Result]:
    """Make the checks that run the bundle, in a process of its own."""
    if not checks:
        return
    data = work / "data"
    _write_placeholders(data)
    model = found.root / MODEL
    home = found.components.parent
    job = {
        "root": str(found.root),
        "name": found.name,
        "components": str(found.components),
        "installed": found.own and found.root.parents[1] != ROOT,
        "weights": str(model) if model.is_file() else None,
        "dataset_dir": str(data),
        "schema": str(schema),
        "exporter": exporter,
        "work": str(work),
        "checks": checks,
    }
    (work / "job.json").write_text(json.dumps(job), encoding="utf-8")
    program = [str(HERE / "isolated.py"), str(home), str(HERE / "run_checks.py"), str(work / "job.json")]
    process = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", *program],
        cwd=data,
        env={**os.environ, "TMPDIR": str(work)},  # the exporter of ONNX leaves files of the weights' size
        stdout=subprocess.PIPE,
        stderr=log,
        encoding="utf-8",
    )
    left = list(checks)
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    try:
        for line in process.stdout or ():
            result = Result(**json.loads(line))
            left.remove(result.check)
            yield result
        status = process.wait()
    finally:
        patience.cancel()
        process.kill()
        process.wait()
    if left:
        yield Result(left[0], "FAILED", f"the process ended with status {status}: see what it printed with --log FILE")
        yield from (Result(name, "skipped", "the process had ended") for name in left[1:])


def _write_placeholders(folder: Path) -> None:
    """A data set of files that are never read, for workflows that are built and not run.

    For a cascade there is the label map of the previous stage, whose place is looked at.
    """
    item = {"image": "image.nii.gz", "label": "label.nii.gz"}
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions" / "image_pred.nii.gz").touch()
    datalist = {part: [item] * 4 for part in ("training", "validation", "test")}
    (folder / "datalist.json").write_text(json.dumps(datalist), encoding="utf-8")
