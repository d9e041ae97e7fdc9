"""Commands of the documentation: read from its blocks, and held against the command lines that they are for."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
import shlex
from pathlib import Path

import monai.bundle
from monai.bundle import ConfigParser

from scripts.arguments import Command, call, find, take_overrides
from scripts.cli import COMMANDS
from scripts.errors import UserError
from scripts.run.monai_command import monai_command

ROOT = Path(__file__).parents[2]
NOT_OURS = {
    *("cd", "curl", "export", "git", "kubectl", "mlflow", "nvflare", "sbatch", "set", "source", "tensorboard"),
    "nnUNetv2_evaluate_folder",
}
"""Programs whose arguments are not looked at."""

TRACKING_FLAGS = {"experiment_name", "run_name", "tracking_uri"}
"""Settings that MONAI takes from the command line where a run is tracked."""

LAUNCHER_FLAGS = {
    *("standalone", "nproc_per_node", "nnodes", "node_rank", "max_restarts"),
    *("rdzv_backend", "rdzv_endpoint", "rdzv_id"),
}


class MissingArgument(AssertionError):
    """A command lacks an argument that it needs."""


def commands_in(block: str) -> list[list[str]]:
    """The words of each command in a block for a shell, without comments, with the values of its variables."""
    lines = re.sub(r"\\\n\s*", " ", block).splitlines()
    variables: dict[str, str] = {}
    commands = []
    for line in lines:
        words = shlex.split(re.sub(r"\$(\w+)", lambda name: variables.get(name[1], name[0]), line), comments=True)
        assignment = re.fullmatch(r"(\w+)=([^$]*)", words[0]) if len(words) == 1 else None
        if assignment:
            variables[assignment[1]] = assignment[2]
        elif words and not re.match(r"\w+=", words[0]):
            commands.append(words)
    return commands


def check(words: list[str]) -> None:
    """Hold a command against the command line of its program.

    Raises:
        AssertionError: if the program would refuse its arguments, or a file of the repository is not there.
    """
    if words[0] == "srun":
        words = list(itertools.dropwhile(lambda word: word not in {"torchrun", "python", "scanseg"}, words))
    program, *rest = words
    if program == "scanseg":
        check_scanseg(rest)
    elif program == "pip":
        check_pip(rest)
    elif program == "bash":
        check_script(rest)
    elif program == "torchrun" or words[:3] == ["python", "-m", "torch.distributed.run"]:
        place = rest.index("-m", 0 if program == "torchrun" else 2)
        flags = {word[2:].partition("=")[0].replace("-", "_") for word in rest[:place] if word.startswith("--")}
        assert flags <= LAUNCHER_FLAGS, f"unknown flags of torchrun: {flags - LAUNCHER_FLAGS}"
        check_module(*rest[place + 1 :])
    elif program in {"python", "python3"} and rest[0] == "-m":
        check_module(*rest[1:])
    else:
        assert program in NOT_OURS, f"{program} is no program that the documentation should need"


def check_module(module: str, *words: str) -> None:
    """A module that ``python -m`` runs."""
    if module in {"scripts", "scanseg"}:
        check_scanseg(list(words))
    elif module == "monai.bundle":
        check_bundle(*words)
    else:
        assert module in {"venv", "mkdocs", "pytest", "ruff", "build", "benchmarks"}, f"python -m {module} is not known"


def check_scanseg(words: list[str]) -> None:
    """A command of ours: its arguments are bound as for a run, which then does not happen."""
    path, entry, rest = find(words, COMMANDS)
    if {"--help", "--list"} & set(rest) or not isinstance(entry, Command):
        return
    try:
        call(path, _Unrun(entry.target, entry.summary, entry.bare), rest)
    except UserError as error:
        raise (MissingArgument if str(error).startswith("missing --") else AssertionError)(str(error)) from error
    if path == ["run"]:
        check_run(*rest)


def check_run(run_id: str, bundle: str, *words: str) -> None:
    """``scanseg run``, as the command of MONAI that it stands for."""
    own, overrides = take_overrides(words, ("dataset_dir", "config", "nproc", "folds"))
    flags = dict(itertools.pairwise(own))
    configs = [f"{name}.json" for name in flags.get("--config", "").split(",") if name not in ("", "tracking")]
    root = next((place for place in (ROOT / "bundles" / bundle, ROOT / bundle) if place.is_dir()), None)
    if root is None:
        return  # a bundle of the reader's own, which a command before makes
    check_bundle(*monai_command(run_id, root, configs, overrides)[2:])


class _Unrun(Command):
    def load(self):  # type: ignore[no-untyped-def]
        function = super().load()

        @functools.wraps(function)
        def nothing(*args: object, **kwargs: object) -> None: ...

        return nothing


def check_bundle(function: str, *words: str) -> None:
    """A function of ``monai.bundle``: for ``run`` also the configs, the id and the names of the overrides."""
    known = set(inspect.signature(getattr(monai.bundle, function)).parameters) - {"override"}
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    flags = {name[2:]: value for name, value in itertools.pairwise([*parts, ""]) if name.startswith("--")}
    if function != "run":
        assert set(flags) <= known, f"monai.bundle {function} has no {set(flags) - known}"
        return
    written = flags["config_file"]
    files = ast.literal_eval(written) if written.startswith("[") else [written]
    root = ROOT / flags["bundle_root"]
    assert root.is_dir(), f"no bundle {flags['bundle_root']}"
    if flags.get("tracking", "").endswith(".json"):
        known |= TRACKING_FLAGS
        files = [*files, flags["tracking"]]
    elif "tracking" in flags:
        assert flags["tracking"] == "mlflow", f"--tracking {flags['tracking']} is no file and not mlflow"
    parser = ConfigParser(ConfigParser.load_config_files([ROOT / name for name in files]))
    ids = [words[0], *(name for name in flags if name not in known)]
    missing = [name for name in ids if name.replace("::", "#") not in parser]
    assert not missing, f"{written} has no {missing}"


def check_pip(words: list[str]) -> None:
    """``pip install``: files exist, and extras are ours."""
    assert words[0] == "install"
    _, _, table = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]\n")
    extras = set(re.findall(r"^(\w+) = \[", table.partition("\n[")[0], re.MULTILINE))
    for flag, word in itertools.pairwise(words):
        assert flag != "-c" or (ROOT / word).is_file(), f"no {word}"
    for word in words[1:]:
        asked = re.fullmatch(r"(?:scanseg|\.)\[(.+)]", word)
        unknown = set(asked[1].split(",")) - extras if asked else set()
        assert not unknown, f"scanseg has no extra {unknown}"


def check_script(words: list[str]) -> None:
    """A script of the repository."""
    script, *rest = words
    assert (ROOT / script).is_file(), f"no {script}"
    if script == "scripts/label_server.sh":
        check_scanseg(["label", *rest])
