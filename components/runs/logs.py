"""Logs of a run, without tracebacks that the last line replaces and without passwords."""

from __future__ import annotations

import logging

from monai.apps.utils import get_logger

from ..errors import masked

STATS = "monai.handlers.StatsHandler"
"""Name of the logger of MONAI's handler of that name."""
CODEC = "monai.data.nvimgcodec_pydicom_plugin"
"""Logger that warns of a missing decoder of DICOM whenever MONAI's LoadImage is made; bundles read no DICOM."""


def filter_logs() -> None:
    """Add :func:`keeps` to every handler of the process's loggers."""
    get_logger(STATS)
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    for handler in {handler for logger in (logging.root, *loggers) for handler in logger.handlers}:
        handler.addFilter(keeps)


def keeps(record: logging.LogRecord) -> bool:
    """A filter of :mod:`logging` that masks passwords in addresses, such as that of an MLflow server.

    It drops the warnings of :data:`CODEC`, and the errors that Ignite's engines and MONAI's handler of them log with a
    traceback, since the run ends with one line about them.
    """
    if record.name == CODEC:
        return False
    text = record.getMessage()
    if (hidden := masked(text)) != text:
        record.msg, record.args = hidden, ()
    return record.levelno < logging.ERROR or not record.name.startswith(("ignite.", STATS))
