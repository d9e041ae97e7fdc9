"""The reader of opcodes beside the unpickler itself, and pickles that hide what they call."""

import datetime
import fractions
import io
import os
import pathlib
import pickle
import pickletools
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from scripts.errors import UserError
from scripts.weights import pickles
from scripts.weights.pickles import analyse_file, analyse_pickle, judge


class Recording(pickle.Unpickler):
    """Python's own unpickler, which notes what is looked up."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.names = []

    def find_class(self, module, name):
        self.names.append(f"{module}.{name}")
        return super().find_class(module, name)


CONTENTS = {
    "plain": {"a": [1, 2.5, "x", None, True], "b": (b"bytes", {1, 2})},
    "ordered": OrderedDict(a=1, b=OrderedDict(c=Counter("hello"))),
    "numpy": {"array": np.arange(5.0), "scalar": np.float32(1), "again": np.float64(2)},
    "dates": [datetime.date(2024, 8, 24), datetime.timedelta(3), fractions.Fraction(1, 3)],
    "paths": [pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath("c")],
    "strings": ["os", "system", {"os": "system"}, ("builtins", "eval")],
    "classes": [nn.Linear, OrderedDict, len, os.getcwd, datetime.datetime.now],
    "long": {"x" * 70_000: list(range(1000))},
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("content", CONTENTS)
def test_finds_what_the_unpickler_looks_up(content, protocol):
    data = pickle.dumps(CONTENTS[content], protocol)
    reader = Recording(data)
    reader.load()
    names = [found.name for found in analyse_pickle(data).globals]
    assert names == [name.replace("__builtin__.", "builtins.") for name in dict.fromkeys(reader.names)]
    assert analyse_pickle(data).problem == ""


@pytest.mark.parametrize("zipped", [True, False])
def test_agrees_with_torch_on_what_is_not_safe(zipped, tmp_path):
    path = tmp_path / "file.pt"
    content = {"weights": nn.Linear(2, 2).state_dict(), "date": datetime.date(2024, 1, 1), "call": os.getcwd}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    report = analyse_file(path)
    found = {each.name for each in [*report.dangerous, *report.unknown]}
    assert found == {"datetime.date", f"{os.name}.getcwd"}
    assert report.problem == ""
    if zipped:
        assert found == set(torch.serialization.get_unsafe_globals_in_checkpoint(path))


def test_everything_that_torch_takes_is_plain():
    allowed = torch._weights_only_unpickler._get_allowed_globals()
    assert [name for name in allowed if judge(name).verdict != "plain"] == []


DANGEROUS = {
    "os.system": "runs a command",
    "posix.system": "runs a command",
    "subprocess.Popen": "runs a command",
    "builtins.eval": "runs code",
    "__builtin__.eval": "runs code",
    "builtins.__import__": "runs code",
    "torch.load": "runs code",
    "builtins.open": "reads or writes files",
    "_io.open": "reads or writes files",
    "shutil.rmtree": "reads or writes files",
    "socket.socket": "opens a network connection",
    "urllib.request.urlopen": "opens a network connection",
    "builtins.getattr": "can reach any other function",
    "operator.attrgetter": "can reach any other function",
    "torch.serialization.os.system": "runs a command",
    "numpy.sys.modules": "runs code",
}


@pytest.mark.parametrize("name", DANGEROUS)
def test_dangerous_names(name):
    found = judge(name)
    assert (found.verdict, found.reason) == ("dangerous", DANGEROUS[name])


@pytest.mark.parametrize("name", ["omegaconf.dictconfig.DictConfig", "osmium.system", "mine.os2.f", "ioniser.open"])
def test_names_of_which_nothing_is_known(name):
    assert judge(name).verdict == "unknown"


HIDDEN = {
    "instance": b"(S'true'\nios\nsystem\n.",
    "object": b"(cos\nsystem\nS'true'\no.",
    "reduce": b"cos\nsystem\n(S'true'\ntR.",
    "names from the stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    "names from the memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R.",
    "memo out of order": b"\x80\x04\x8c\x06systemq\x07\x8c\x02osq\x0900h\x09h\x07\x93\x8c\x04true\x85R.",
    "doubled and dropped": b"\x80\x04\x8c\x02os20\x8c\x06system2\x30\x93\x8c\x04true\x85R.",
    "after a mark": b"\x80\x04(K\x01K\x021\x8c\x02os(\x30\x8c\x06system\x93\x8c\x04true\x85R.",
    "long strings": b"\x80\x04X\x02\x00\x00\x00os\x8d\x06\x00\x00\x00\x00\x00\x00\x00system\x93\x8c\x04true\x85R.",
    "before it breaks": b"cos\nsystem\n(S'true'\ntR\xff\xff",
}


@pytest.mark.parametrize("hidden", HIDDEN)
def test_hidden_calls_are_found(hidden):
    data = HIDDEN[hidden]
    assert [found.name for found in analyse_pickle(data).dangerous] == ["os.system"]
    looked_up = []

    class Stub(pickle.Unpickler):
        def find_class(self, module, name):
            looked_up.append(f"{module}.{name}")
            return lambda *_: None

    try:
        Stub(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        assert hidden == "before it breaks"
    assert looked_up == ["os.system"]


def test_computed_name_is_dangerous():
    data = b"\x80\x04cbuiltins\nstr\n\x8c\x02os\x85R\x8c\x06system\x93."
    (found,) = analyse_pickle(data).dangerous
    assert found.name == pickles.COMPUTED


def test_call_in_a_later_pickle_of_a_legacy_file(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    keys = data.rindex(b"\x80\x02]")  # the fifth pickle, a list of keys
    path.write_bytes(data[:keys] + b"cos\nsystem\n(S'true'\ntR." + data[keys:])
    assert [found.name for found in analyse_file(path).dangerous] == ["os.system"]


@pytest.mark.parametrize(
    "data", [b"", b".", b"0.", b"h\x05.", b"\x93.", b"\x80\x04", b"t.", b"hello", b"\x8e" + b"\xff" * 8]
)
def test_what_is_no_pickle_is_a_problem(data):
    report = analyse_pickle(data)
    assert report.globals == ()
    assert report.problem
    assert report.words() == f"it is damaged: {report.problem}"


def test_large_pickle_in_a_zip_is_not_read(tmp_path, monkeypatch):
    torch.save({"a": 1}, tmp_path / "file.pt")
    monkeypatch.setattr(pickles, "LARGEST_MEMBER", 3)
    with pytest.raises(UserError, match="this is not a checkpoint"):
        analyse_file(tmp_path / "file.pt")


def test_opcodes_that_push_strings_are_all_known():
    """The reader keeps strings; a new opcode for one would need it to be told."""
    pushing = {o.name for o in pickletools.opcodes if {s.name for s in o.stack_after} & {"str", "bytes_or_str"}}
    assert all("STRING" in name or "UNICODE" in name for name in pushing)
