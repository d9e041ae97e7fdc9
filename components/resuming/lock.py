"""One training at a time in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

import ignite.distributed as idist
from filelock import FileLock, Timeout

from ..files import explained

NAME = ".training.lock"
DYING = 30.0
"""Seconds to wait for a lock whose process is dead: the workers of its loader, which may hold it, end soon after it."""


@contextlib.contextmanager
def locked(folders: Iterable[str | os.PathLike[str]]) -> Iterator[None]:
    """Keep other trainings out of folders, which are made where they are missing.

    The lock is one of the operating system's, on a file in the folder: it ends with the process, however that ends,
    and what is left of the file means nothing. Of many processes of a training the first one takes it for all.

    Args:
        folders: the folders, the same one several times or not.

    Raises:
        ValueError: if another training has one of them; in all processes of this one.
        OSError: if a folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        trouble = ""
        if idist.get_rank() == 0:
            try:
                for folder in dict.fromkeys(Path(folder).absolute() for folder in folders):
                    held.enter_context(_lock(folder))
            except (ValueError, OSError) as error:
                if idist.get_world_size() == 1:
                    raise
                trouble = str(error)
        if idist.get_world_size() > 1 and (trouble := idist.all_gather({"trouble": trouble})[0]["trouble"]):
            if idist.get_rank() > 0:
                raise SystemExit(2)  # the first process reports the reason
            raise ValueError(trouble)
        yield


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    path = folder / NAME
    lock = FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _wait(lock, path)
        try:
            path.write_text(json.dumps({"process": os.getpid(), "machine": platform.node()}), encoding="utf-8")
        except OSError:
            lock.release()
            raise
    except Timeout:
        process, machine = _holder(path)
        raise ValueError(
            f"process {process} on {machine} is training in {folder}: wait until it ends, or give another --output_dir "
            "and --ckpt_dir"
        ) from None
    except OSError as error:
        raise explained(error, path) from None
    try:
        yield
    finally:
        lock.release()


def _wait(lock: FileLock, path: Path) -> None:
    process, machine = _holder(path)
    lock.acquire(timeout=DYING if machine == platform.node() and _dead(process) else 0)


def _holder(path: Path) -> tuple[int | str, str]:
    """Process and machine that the file of a lock names; question marks where it cannot be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return told["process"], told["machine"]
    except (OSError, ValueError, KeyError, TypeError):
        return "?", "?"


def _dead(process: int | str) -> bool:
    if os.name == "nt" or not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
