"""The message of an error in one line, and whether a user can fix it."""

from __future__ import annotations

import builtins
import re

MENDABLE = (ValueError, OSError, EOFError, ImportError, LookupError, ArithmeticError)
"""Kinds of errors that come of a value, a file or a machine, and not of a mistake in the code."""
WRAPPER = re.compile(r"applying transform|Failed to (instantiate|evaluate)")
"""How MONAI's own errors begin, which say where in a config another error came from."""
WORKER = "Original Traceback (most recent call last):"
CAUSE = "The above exception was the direct cause of the following exception:"
CONTEXT = "During handling of the above exception, another exception occurred:"
LAST = re.compile(r"^([A-Za-z_][\w.]*): (.*)\Z", re.MULTILINE | re.DOTALL)
SECRET = re.compile(r"(?<=://)[^/@\s\"']+(?=@)")
"""User and password in an address."""
SHARED_MEMORY = "give --num_workers 0, or a container with a larger --shm-size, such as docker run --shm-size 8g"
MEMORY = "take a smaller --batch_size, --sw_batch_size or --num_workers"


def root_cause(error: BaseException) -> BaseException:
    """What a component said below MONAI's own errors.

    A worker of a ``DataLoader`` sends its errors as text only; the error is made of this text again.

    Example:
        >>> try:
        ...     try:
        ...         raise ValueError("no such size")
        ...     except ValueError as error:
        ...         raise RuntimeError("applying transform <Resize>") from error
        ... except RuntimeError as error:
        ...     root_cause(error)
        ValueError('no such size')
    """
    while error.__cause__ is not None and WRAPPER.match(str(error)):
        error = error.__cause__
    return _sent(str(error)) or error if WORKER in str(error) else error


def _sent(text: str) -> Exception | None:
    """The error in the text that a worker of a ``DataLoader`` sends: the last one that is none of MONAI's own."""
    chain = []
    for part in text.split(WORKER, 1)[1].split(CAUSE):
        # Behind the lines of the traceback, which are indented, stand the type and the text of the error.
        lines = re.split(r"\n(?=\S)", part.split(CONTEXT)[-1].strip())
        chain += [match.groups() for line in lines[-1:] if (match := LAST.match(line.strip()))]
    for name, told in reversed(chain):
        if not WRAPPER.match(told) or (name, told) == chain[0]:
            kind = getattr(builtins, name.rpartition(".")[2], RuntimeError)
            plain = isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, UnicodeError)
            return (kind if plain else RuntimeError)(told)
    return None


def one_line(error: BaseException) -> str:
    """The text of an error on one line; of an error of the system its reason and the file.

    Example:
        >>> one_line(FileNotFoundError(2, "No such file or directory", "scan.nii.gz"))
        'No such file or directory: scan.nii.gz'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, KeyError) and len(error.args) == 1:
        return " ".join(str(error.args[0]).split())
    return " ".join(str(error).split()) or type(error).__name__


def masked(text: str) -> str:
    """A text without the users and passwords of its addresses.

    Example:
        >>> masked("--tracking_uri https://me:secret@host/mlflow")
        '--tracking_uri https://***@host/mlflow'
    """
    return SECRET.sub("***", text)


def in_words(error: BaseException) -> tuple[str, bool]:
    """What to show a user of an error, and whether it can be fixed without looking at the code.

    Args:
        error: as it was raised.

    Returns:
        One line, and whether the user can fix it.
    """
    error = root_cause(error)
    text, lowered = masked(one_line(error)), str(error).lower()
    if "out of memory" in lowered or "can't allocate memory" in lowered or isinstance(error, MemoryError):
        return f"the memory does not suffice: {MEMORY} ({_shortened(text)})", True
    if "shared memory" in lowered or ("dataloader worker" in lowered and "bus error" in lowered):
        return f"the shared memory (/dev/shm) is too small for the processes that load data: {SHARED_MEMORY}", True
    if "dataloader worker" in lowered and ("killed" in lowered or "exited" in lowered):
        return f"a process that loads data was ended, most likely for want of memory: {MEMORY}", True
    if "connection closed by peer" in lowered or "connection reset by peer" in lowered:
        return "another process of this run has ended: its own line says why", True
    return text, isinstance(error, MENDABLE)


def _shortened(text: str, longest: int = 160) -> str:
    return text if len(text) <= longest else f"{text[:longest].rstrip()} …"
