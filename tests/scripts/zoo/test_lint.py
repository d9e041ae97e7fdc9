"""What the lint of configs lets through, and what not."""

import json

import pytest

from scripts.errors import UserError
from scripts.zoo.contents import ROOT
from scripts.zoo.lint import lint_config, lint_metadata

COMPONENTS = ROOT / "components"


def lint(config, tmp_path, function=lint_config):
    path = tmp_path / "train.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return function(path, COMPONENTS) if function is lint_config else function(path)


FINE = [
    "$os.path.join(@bundle_root, 'models', 'model.pt')",
    "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "$@network_def.to(@device)",
    "$[i for i in range(@count) if i > 1]",
    "$lambda x: x != 0",
    "$(lambda x, y=2: x.shape[0] + y)(@image)",
    "$monai.handlers.from_engine(['pred', 'label'])",
    "$torch.nn.functional.softmax(@logits, dim=1)",
    '$f"{@name}_{1 + 2}"',
    "$int(os.environ['LOCAL_RANK'])",
    "$torch.tan(torch.tensor(16 * torch.pi / 180)).item()",
    "$np.float32",
    "@train#dataset",
    "@#relative",
    "%train#dataset",
    "a text with $ and @sign, import os",
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "monai.networks.nets.UNet"},
    {"_target_": "torch.optim.lr_scheduler.PolynomialLR"},
    {"_target_": "torch.nn.CrossEntropyLoss", "_mode_": "callable"},
    {"_target_": "components.networks.MSVMUNet"},
    {"_target_": "components.files.case_name"},
]


@pytest.mark.parametrize("value", FINE, ids=str)
def test_fine(value, tmp_path):
    lint({"imports": ["$import os", "$import torch", "$import numpy as np"], "a": {"b": [value]}}, tmp_path)


EXPRESSIONS = {
    "os.system('x')": "os.system is not among",
    "os.path.os.system('x')": "os.path.os.system is not among",
    "torch.os.system('x')": "torch.os.system is not among",
    "torch.nn.modules.module.torch.hub.load('x')": "is not among",
    "torch.hub.load('a/b', 'c')": "is not among",
    "torch.load('x')": "torch.load is not among",
    "monai.utils.misc.run_cmd(['x'])": "is not among",
    "monai.bundle.run()": "is not among",
    "monai.data.load_net_with_metadata('x')": "is not among",
    "np.load('x', allow_pickle=True)": "numpy.load is not among",
    "sys.modules['os']": "sys.modules is not among",
    "subprocess.run(['x'])": "the name subprocess is not allowed",
    "__import__('os')": "the name __import__ is not allowed",
    "eval('1')": "the name eval is not allowed",
    "exec('1')": "the name exec is not allowed",
    "open('x')": "the name open is not allowed",
    "getattr(@a, 'b')": "the name getattr is not allowed",
    "globals()": "the name globals is not allowed",
    "@a.__class__.__mro__": "the attribute __mro__ is not allowed",
    "().__class__.__bases__[0].__subclasses__()": "is not allowed",
    "(lambda: 0).__globals__": "the attribute __globals__ is not allowed",
    "@a.b._private": "the attribute _private is not allowed",
    "[x for x in [@a]][0].gi_frame": "the attribute gi_frame is not allowed",
    "@imports#0.system('x')": "can reach a module",
    "@#imports#0.system('x')": "can reach a module",
    "@.system('x')": "can reach a module",
    "'@a + os.system(1) + @b'": "",
    "(lambda os: os.system)(1)": "is redefined",
    "[len for len in (1,)]": "is redefined",
    "(os := 1)": "is redefined",
    "(x := 1)": "NamedExpr is not part",
    "await x": "",
    "import subprocess": "",
    "os": "the name os is not allowed",
    "[f for f in [os]][0]": "the name os is not allowed",
    "@a['b'](__local_refs)": "the name __local_refs is not allowed",
    "9**9**9": "Pow is not part",
    "torch.nn": "torch.nn is not among",
    "1; 2": "",
    "": "",
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_refused_expressions(text, tmp_path):
    with pytest.raises(UserError, match=r"train\.json: a#0") as error:
        lint({"imports": ["$import os", "$import torch"], "a": [f"${text}"]}, tmp_path)
    assert EXPRESSIONS[text] in str(error.value)


CONFIGS = [
    ({"a": {"_target_": "os.system", "command": "x"}}, "a#_target_"),
    ({"a": {"_target_": "subprocess.Popen", "args": "x"}}, "not part of MONAI"),
    ({"a": {"_target_": "torch.os.system"}}, "not part of MONAI"),
    ({"a": {"_target_": "torch.utils.data.dataloader.os.system"}}, "not part of MONAI"),
    ({"a": {"_target_": "torch.hub.load"}}, "not part of MONAI"),
    ({"a": {"_target_": "torch.distributed.run.main"}}, "not part of MONAI"),
    ({"a": {"_target_": "torch.utils.cpp_extension.load_inline"}}, "not part of MONAI"),
    ({"a": {"_target_": "builtins.eval"}}, "not part of MONAI"),
    ({"a": {"_target_": "run_cmd"}}, "may not use"),
    ({"a": {"_target_": "download_url"}}, "may not use"),
    ({"a": {"_target_": "monai.data.utils.os.system"}}, "not part of MONAI"),
    ({"a": {"_target_": "components.files.os.replace"}}, "not a class or function of the components"),
    ({"a": {"_target_": "components.files.os"}}, "not a class or function of the components"),
    ({"a": {"_target_": "components.nowhere.Thing"}}, "not a class or function of the components"),
    ({"a": {"_target_": "scripts.Evil"}}, "not part of MONAI"),
    ({"a": {"_target_": "NoSuchThing"}}, "neither a component of MONAI nor"),
    ({"a": {"_target_": "@b"}, "b": "os.system"}, "must be the name"),
    ({"a": {"_target_": "$@b.c"}}, "must be the name"),
    ({"a": {"_target_": ["os.system"]}}, "must be the name"),
    ({"a": {"_target_": "Compose", "_mode_": "debug"}}, "_mode_ may be"),
    ({"a": {"x": 1}, "a#_target_": "os.system"}, "a#_target_"),
    ({"+a::_target_": "os.system"}, "a#_target_"),
    ({"a": {"_requires_": "$os.system('x')"}}, "os.system"),
    ({"a": {"_disabled_": "$os.system('x')"}}, "os.system"),
    ({"$os.system('x')": {"b": ["$os.system('x')"]}}, "os.system"),
    ({"imports": ["$import subprocess"]}, "only these are imported"),
    ({"imports": ["$import subprocess as os"]}, "only these are imported"),
    ({"imports": ["$from os import system"]}, "only these are imported"),
    ({"imports": ["$import os, sys"]}, "only these are imported"),
    ({"imports": ["$import os\nos.system('x')"]}, "only these are imported"),
    ({"imports": ["$import os", "$@#0.system('x')"]}, "imports#1"),
    ({"imports": ["$import os", {"a": "$@##0.system('x')"}]}, "import statements only"),
    ({"imports#0": "$import subprocess"}, "only these are imported"),
    ({"imports": "$import subprocess"}, "only these are imported"),
    ({"m": "$import os"}, "invalid syntax"),
    ({"a": "@imports#0"}, "can reach a module"),
    ({"a": "%/tmp/evil.json#a"}, "another file is included"),
    ({"a": "%evil.yaml"}, "another file is included"),
    ('{"a": 1, "a": "$os.system(1)"}', "a key occurs twice"),
    ("[1]", "is not an object"),
    ("{", "is not valid JSON"),
    ("[" * 100_000, "is not valid JSON"),
]


@pytest.mark.parametrize(("config", "told"), CONFIGS, ids=lambda value: str(value)[:60])
def test_refused_configs(config, told, tmp_path):
    with pytest.raises(UserError, match=r"train\.json") as error:
        lint(config, tmp_path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["$os.system('x')", "%other.json#a", {"_target_": "os.system"}], ids=str)
def test_metadata_hold_data_only(value, tmp_path):
    lint({"version": "1", "price": "5 $", "x": ["32*n", 1]}, tmp_path, lint_metadata)
    with pytest.raises(UserError, match="must not hold anything that runs"):
        lint({"a": [{"b": value}]}, tmp_path, lint_metadata)
