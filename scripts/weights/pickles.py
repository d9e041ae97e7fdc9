"""What a pickle would call, read from its opcodes; nothing in it is ever run.

Loading a pickle looks up functions and classes by name, its *globals*, and calls them. ``torch.load`` with
``weights_only`` refuses all but a few; this module says of a refused file which they are, and what they can do.

Tried instead, on forty hostile pickles: picklescan 1.0 counts no issue for ``torch.hub.load``,
``importlib.import_module``, ``io.open``, ``torch.serialization.os.system`` and extension codes; fickling 0.1 fails on a
pickle that is cut behind its payload and on extension codes, and says the same of a command and of a file. Here all
that is not known to build tensors is reported, with what it does.
"""

from __future__ import annotations

import io
import mmap
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..errors import UserError

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First pickle of a file that torch.save wrote before it wrote zip files; four more follow, then the numbers."""
LEGACY_PICKLES = 5
LARGEST_MEMBER = 1 << 28
"""Bytes of the largest pickle inside a zip that is read; those of checkpoints have below a hundredth of it."""

PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter|defaultdict)|builtins\.(set|frozenset|bytearray|complex|int|float|str|list|dict"
    r"|tuple|bool|slice|range|object)|_codecs\.encode"
    r"|torch\.(cuda\.)?(sparse\.)?\w*(Storage|Tensor)|torch\.storage\.(Typed|Untyped)Storage|torch\.(Size|device)"
    r"|torch\.(b?float|u?int|complex|bits|qu?int)\w*|torch\.bool|torch\.per_(channel|tensor)_\w+"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.serialization\._get_layout"
    r"|torch\.nn\.parameter\.(Parameter|Buffer)"
    r"|numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|ndarray|dtype|dtypes\.\w+DType)"
)
"""Globals that build tensors, numbers and containers, and do nothing else."""

DANGERS: dict[str, tuple[str, ...]] = {
    "runs a command": (
        "os.", "posix.", "nt.", "subprocess.", "_posixsubprocess.", "pty.", "commands.", "popen2.", "asyncio.",
        "multiprocessing.", "distutils.", "webbrowser.", "antigravity.",
    ),
    "runs code": (
        "builtins.eval", "builtins.exec", "builtins.execfile", "builtins.compile", "builtins.__import__",
        "builtins.breakpoint", "bdb.", "cProfile.", "cffi.", "cloudpickle.", "code.", "codeop.", "concurrent.",
        "ctypes.", "_ctypes.", "dill.", "doctest.", "ensurepip.", "gc.", "idlelib.", "imp.", "importlib.", "inspect.",
        "joblib.", "lib2to3.", "marshal.", "pdb.", "pickle.", "_pickle.", "pip.", "pkgutil.", "profile.", "pydoc.",
        "runpy.", "shelve.", "signal.", "sys.", "test.", "threading.", "timeit.", "trace.", "types.CodeType",
        "types.FunctionType", "unittest.", "venv.", "zipimport.", "numpy.f2py.", "numpy.load", "numpy.testing.",
        "torch.load", "torch.hub.", "torch.jit.", "torch.package.", "torch.serialization.load", "torch.distributed.",
        "torch.utils.collect_env.", "torch.utils.cpp_extension.", "torch.utils.bottleneck.", "torch._inductor.",
        "torch._dynamo.",
    ),
    "reads or writes files": (
        "builtins.open", "builtins.file", "io.", "_io.", "shutil.", "tempfile.", "fileinput.", "linecache.", "zipfile.",
        "tarfile.", "mmap.", "sqlite3.", "_sqlite3.", "logging.",
    ),
    "opens a network connection": (
        "socket.", "_socket.", "ssl.", "http.", "urllib.", "urllib2.", "httplib.", "ftplib.", "smtplib.", "telnetlib.",
        "poplib.", "imaplib.", "xmlrpc.", "requests.", "httpx.", "aiohttp.",
    ),
    "can reach any other function": (
        "builtins.getattr", "builtins.setattr", "builtins.delattr", "builtins.globals", "builtins.locals",
        "builtins.vars", "builtins.map", "builtins.filter", "builtins.type", "operator.", "_operator.", "functools.",
        "_functools.",
    ),
}  # fmt: skip
"""What a global can do, and the names that do it; one that ends with a dot stands for everything in that module."""

COMPUTED = "a name that is computed while it loads"
EXTENSION = "an extension code of copyreg"
MARK = pickletools.markobject
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError, OSError)
REACHED = re.compile(r"\.((?:os|posix|subprocess|sys|builtins|__builtins__|importlib|socket|shutil|ctypes)\.\w+.*)$")
"""A module of those above that is reached through another one, such as ``torch.serialization.os.system``."""


@dataclass(frozen=True)
class Global:
    """A function or class that loading a pickle looks up.

    Args:
        name: module and name, such as ``os.system``.
        verdict: "plain" (builds tensors, numbers or containers), "dangerous" or "unknown".
        reason: what it can do; empty for a plain one.
    """

    name: str
    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class PickleReport:
    """What loading would look up.

    Args:
        globals: each once, in the order of the file.
        problem: why the opcodes could not be followed to the end; what comes after that is not known.
    """

    globals: tuple[Global, ...] = ()
    problem: str = ""

    @property
    def dangerous(self) -> list[Global]:
        """The globals that can do harm."""
        return [found for found in self.globals if found.verdict == "dangerous"]

    @property
    def unknown(self) -> list[Global]:
        """The globals of which nothing is known; code of the package named there would run."""
        return [found for found in self.globals if found.verdict == "unknown"]

    def words(self) -> str:
        """One line on the worst that is in it; empty if everything is plain and was read to its end."""
        for found in self.dangerous:
            return f"it would call {found.name}, which {found.reason}"
        for found in self.unknown:
            return f"it holds {found.name}: {found.reason}"
        return f"it is damaged: {self.problem}" if self.problem else ""


def judge(name: str) -> Global:
    """Verdict on one global.

    Example:
        >>> judge("os.system")
        Global(name='os.system', verdict='dangerous', reason='runs a command')
        >>> judge("torch._utils._rebuild_tensor_v2").verdict, judge("mine.Config").verdict
        ('plain', 'unknown')
    """
    name = re.sub(r"^(__builtin__|__builtins__)\.", "builtins.", name)
    if name in (COMPUTED, EXTENSION):
        return Global(name, "dangerous", "hides what it calls")
    if PLAIN.fullmatch(name):
        return Global(name, "plain")
    reached = REACHED.search(name)
    for candidate in [name, *([reached[1]] if reached else [])]:
        for reason, entries in DANGERS.items():
            if any(candidate == entry or (entry.endswith(".") and candidate.startswith(entry)) for entry in entries):
                return Global(name, "dangerous", reason)
    if reached:
        return Global(name, "dangerous", "reaches another module through this one")
    return Global(name, "unknown", "neither a tensor nor a plain value, and code of its package would run")


def analyse_pickle(data: bytes | IO[bytes], pickles: int = 1) -> PickleReport:
    """Read the opcodes of pickles.

    Args:
        data: the bytes, or an open file at the first opcode.
        pickles: how many pickles follow each other at most, as one call of ``pickle.load`` after the other reads them.

    Returns:
        All globals up to the end or up to where the opcodes make no sense.
    """
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    names: list[str] = []
    problem = ""
    try:
        for _ in range(pickles):
            _follow(stream, names)
    except (ValueError, IndexError, OverflowError, MemoryError, RecursionError, KeyError) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
    return PickleReport(tuple(judge(printable(name)) for name in dict.fromkeys(names)), printable(problem))


def analyse_file(path: str | Path) -> PickleReport:
    """Read the opcodes of a checkpoint file: of all pickles in a zip, or of those at the start of the file.

    Args:
        path: a file of ``torch.save``, new or old, or of ``pickle.dump``.

    Returns:
        The report; one with a problem where the file is no pickle at all.

    Raises:
        OSError: if the file cannot be read.
        UserError: if a zip holds a pickle that is too large to be one of a checkpoint.
    """
    path = Path(path)
    if is_zip(path):
        try:
            return _joined(_members(path))
        except ZIP_ERRORS as error:
            return PickleReport(problem=f"the zip is damaged ({error})")
    if path.stat().st_size == 0:
        return PickleReport(problem="the file is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return analyse_pickle(view, LEGACY_PICKLES if view[: len(MAGIC)] == MAGIC else 1)


def is_zip(path: Path) -> bool:
    """Whether a file has the end of a zip, a damaged one included."""
    try:
        return zipfile.is_zipfile(path)
    except (zipfile.BadZipFile, OSError):  # the latter of a seek to before the file's start
        return True


def printable(text: str, longest: int = 200) -> str:
    r"""Text from a file that is safe to show: on one line, without control characters, and not too long.

    Example:
        >>> printable("os\nsystem\x1b[2J")
        'os?system?[2J'
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:longest])
    return shown if len(text) <= longest else f"{shown}… ({len(text)} characters)"


def _members(path: Path) -> Iterable[PickleReport]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith((".pkl", ".pickle"))]
        if not members:
            yield PickleReport(problem="the zip holds no pickle")
        for member in members:
            if member.file_size > LARGEST_MEMBER:
                raise UserError(f"{path} holds {member.filename} of {member.file_size} bytes: this is not a checkpoint")
            yield analyse_pickle(archive.read(member))


def _joined(reports: Iterable[PickleReport]) -> PickleReport:
    reports = list(reports)
    found = dict.fromkeys(found for report in reports for found in report.globals)
    return PickleReport(tuple(found), next((report.problem for report in reports if report.problem), ""))


@dataclass
class _Stack:
    """The unpickler's stack and memo, where only strings are kept as what they are; all else is None."""

    items: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def apply(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        name = opcode.name
        if name == "MEMOIZE":
            self.memo[len(self.memo)] = self.items[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.items[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.items.append(self.memo[argument])
        elif name == "DUP":
            self.items.append(self.items[-1])
        else:
            self._pop(opcode)
            value = argument if "STRING" in name or "UNICODE" in name else None
            self.items.extend(MARK if kind is MARK else value for kind in opcode.stack_after)

    def _pop(self, opcode: pickletools.OpcodeInfo) -> None:
        before = list(opcode.stack_before)
        if MARK in before:
            while self.items.pop() is not MARK:
                pass
            before = before[: before.index(MARK)]
        for _ in before:
            self.items.pop()


def _follow(stream: IO[bytes], names: list[str]) -> None:
    """Add the globals of one pickle to ``names``, in order and as far as it can be read."""
    stack = _Stack()
    for opcode, argument, position in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            names.append(argument.replace(" ", ".", 1))
        elif opcode.name == "STACK_GLOBAL":
            operands = stack.items[-2:]
            known = all(isinstance(operand, str) for operand in operands)
            names += [".".join(operands) if known else COMPUTED] if len(operands) == 2 else []
        elif opcode.name.startswith("EXT"):
            names.append(EXTENSION)
        try:
            stack.apply(opcode, argument)
        except (IndexError, KeyError) as error:
            raise ValueError(f"{opcode.name} at byte {position} finds nothing to work on") from error
