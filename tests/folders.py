"""Folders of fixtures that outlive a test."""

import contextlib
import shutil


@contextlib.contextmanager
def folder(tmp_path_factory, name):
    """A folder that goes with its fixture: checkpoints are large, and pytest would keep them to the end of the run."""
    path = tmp_path_factory.mktemp(name)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
