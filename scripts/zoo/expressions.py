"""What the ``$`` expressions of configs may say, checked on their syntax tree."""

from __future__ import annotations

import ast

from .targets import is_part

ALIASES = {
    "os": "os", "sys": "sys", "math": "math", "logging": "logging", "np": "numpy", "numpy": "numpy", "torch": "torch",
    "monai": "monai", "ignite": "ignite", "dist": "torch.distributed",
}  # fmt: skip
"""Modules that a config may import, by the name that it gives them."""

REFERENCES = "__local_refs"
"""The dictionary by which MONAI replaces ``@id`` before it evaluates an expression."""

FUNCTIONS = {
    "os": "cpu_count",
    "os.path": "abspath basename dirname exists expanduser isdir isfile join splitext",
    "os.environ": "get",
    "sys.path": "append extend insert",
    "logging": "CRITICAL DEBUG ERROR INFO WARNING disable getLogger",
    "math": "ceil cos exp floor inf log pi sin sqrt tan",
    "numpy": "arange array bool_ float16 float32 float64 inf int16 int32 int64 int8 linspace mean nan pi uint16 uint32 "
    "uint64 uint8",
    "torch": "abs argmax bfloat16 bool cat ceil clamp cos device exp float float16 float32 float64 floor half inf int "
    "int16 int32 int64 int8 log long manual_seed max mean min nan ones pi round sigmoid sin softmax sqrt stack sum tan "
    "tensor uint8 where zeros",
    "torch.cuda": "current_device device_count is_available set_device",
    "torch.backends.mps": "is_available",
    "torch.backends.cudnn": "benchmark",
    "torch.distributed": "barrier destroy_process_group get_rank get_world_size init_process_group is_available "
    "is_initialized",
    "monai.utils": "first set_determinism str2bool ensure_tuple ensure_tuple_rep",
}
"""What expressions may use besides the parts of MONAI, PyTorch and Ignite that ``_target_`` may name."""
ALLOWED = {f"{module}.{name}" for module, names in FUNCTIONS.items() for name in names.split()} | {"os.environ"}

INSTALLATION = "monai.utils.optional_import('scanseg')[1]"
"""How a config finds the components of an installation: all that is left of the module is whether there is one."""

BUILTINS = frozenset({
    "abs", "all", "any", "bool", "dict", "enumerate", "float", "frozenset", "int", "len", "list", "max", "min", "range",
    "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip",
})  # fmt: skip
DENIED = frozenset({
    "cr_await", "cr_code", "cr_frame", "eval", "exec", "execv", "execve", "f_back", "f_builtins", "f_code", "f_globals",
    "f_locals", "format_map", "func_code", "func_globals", "gi_code", "gi_frame", "gi_yieldfrom", "import_module",
    "load", "loads", "load_module", "mro", "open", "popen", "remove", "rmdir", "rmtree", "system", "tb_frame",
    "tb_next", "unlink",
})  # fmt: skip
"""Attributes by which one could leave the bounds, if an object had them."""

NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Attribute, ast.Call, ast.keyword, ast.Starred, ast.Subscript, ast.Slice,
    ast.List, ast.Tuple, ast.Dict, ast.Set, ast.IfExp, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.Lambda,
    ast.arguments, ast.arg, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.comprehension, ast.JoinedStr,
    ast.FormattedValue, ast.Load, ast.Store, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.Add, ast.Sub, ast.Mult,
    ast.Div, ast.FloorDiv, ast.Mod, ast.MatMult, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot,
    ast.In, ast.NotIn,
)  # fmt: skip


def check_expression(text: str) -> None:
    """Raise ValueError, or SyntaxError, unless an expression stays within the bounds.

    Args:
        text: the expression without its ``$``, references replaced as MONAI does.

    Example:
        >>> check_expression("os.path.join(__local_refs['bundle_root'], 'models')")
        >>> check_expression("os.system('date')")
        Traceback (most recent call last):
        ValueError: os.system is not among what expressions may use
    """
    tree = ast.parse(text.strip(), mode="eval")
    names = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if taken := names & ({*ALIASES, REFERENCES} | BUILTINS):
        raise ValueError(f"{', '.join(sorted(taken))} is redefined")
    if private := [name for name in names if name.startswith("_") and name != "_"]:
        raise ValueError(f"{private[0]} begins with an underscore")
    _check(tree.body, names | BUILTINS)


def _check(node: ast.AST, names: set[str] | frozenset[str]) -> None:
    if ast.unparse(node) == INSTALLATION:
        return
    if not isinstance(node, NODES):
        raise ValueError(f"{type(node).__name__} is not part of an expression that is allowed")
    if isinstance(node, ast.Attribute) and (dotted := _dotted(node)):
        if dotted not in ALLOWED and not is_part(dotted):
            raise ValueError(f"{dotted} is not among what expressions may use")
        return
    if isinstance(node, ast.Attribute) and (node.attr.startswith("_") or node.attr in DENIED):
        raise ValueError(f"the attribute {node.attr} is not allowed")
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == REFERENCES:
        if not isinstance(node.slice, ast.Constant):
            raise ValueError("a reference is computed")
        return
    if isinstance(node, ast.Name) and node.id not in names:
        raise ValueError(f"the name {node.id} is not allowed")
    for child in ast.iter_child_nodes(node):
        _check(child, names)


def _dotted(node: ast.Attribute) -> str:
    """``torch.cuda.is_available`` of such a chain of attributes of an imported module; empty for others."""
    attributes = []
    inner: ast.AST = node
    while isinstance(inner, ast.Attribute):
        attributes.append(inner.attr)
        inner = inner.value
    if not isinstance(inner, ast.Name) or inner.id not in ALIASES:
        return ""
    return ".".join([ALIASES[inner.id], *reversed(attributes)])
