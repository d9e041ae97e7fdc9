"""The commands of ``scanseg``, and how their errors are reported."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from components.streams import replace_what_cannot_be_encoded

from .arguments import PROGRAM, Command, Table, call, find, help_text
from .errors import UserError, one_line

COMMANDS: Table = {
    "bench": Command(".bench.command:bench", "time kernels, networks and bundles, measure their memory"),
    "bundle": {
        "list": Command(".bundle.list:list_bundles", "list the bundles that commands find by name"),
        "copy": Command(".bundle.copy:copy", "copy a bundle with its components, to change it", bare=1),
    },
    "data": {
        "prepare": Command(".data.prepare:prepare", "turn a published data set into one for a bundle", bare=1),
        "check": Command(".data.check:check", "check a data set for damage", bare=1),
        "sample": Command(".data.sample:sample", "make a small data set to try the commands"),
    },
    "label": Command(".label.command:label", "start MONAI Label with bundles"),
    "run": Command(".run.command:run", "print and execute MONAI's command for a bundle", bare=2),
    "predict": Command(".predict.command:predict", "segment images with a bundle"),
    "new": Command(".new.command:new", "make a bundle for a data set of your own", bare=1),
    "demonstrate": Command(".demonstrate.command:demonstrate", "train on a real sample and score the result", bare=1),
    "doctor": Command(".doctor.command:doctor", "check this machine and this installation"),
    "federated": {
        "simulate": Command(".federated.simulate:simulate", "train over several data sets as over sites", bare=1),
        "export": Command(".federated.export:export", "write the job of a federated training", bare=1),
    },
    "report": Command(".report.command:report", "make report.html from a training and an evaluation"),
    "ensemble": Command(".predict.ensemble:ensemble", "average the probabilities of several bundles", bare=1),
    "postprocess": Command(".folds.postprocess:postprocess", "keep largest components where it helps", bare=1),
    "compare": Command(".folds.compare:compare", "compare bundles, and pairs of them, by their folds", bare=1),
    "weights": {
        "convert": Command(".weights.convert:convert", "turn a published checkpoint into weights of a bundle"),
        "inspect": Command(
            ".weights.inspect:inspect", "list the content of a weights file, without running it", bare=1
        ),
    },
    "zoo": {
        "package": Command(".zoo.package:package", "make the zips of the bundles and their index"),
        "verify": Command(".zoo.verify:verify", "check bundles or zips as a model zoo does", bare=1),
        "fetch": Command(".zoo.fetch:fetch", "download a bundle and check it", bare=1),
        "index": Command(".zoo.index:index", "write the index in the formats of other tools"),
    },
}

HELP = {"--help", "-h"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: the words after the program; ``sys.argv`` by default.

    Returns:
        The exit status: 0, or 2 for an error that the user can fix, 1 for any other. A command that looks for
        faults returns 1 if it found any.
    """
    replace_what_cannot_be_encoded()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        path, entry, rest = find(words, COMMANDS)
        if not isinstance(entry, Command) and rest and rest[0] not in HELP:
            raise UserError(f"give a command before {rest[0]}; see {' '.join([PROGRAM, *path])} --help")
        if not isinstance(entry, Command) or HELP & set(rest):
            print(help_text(path, entry))
        else:
            return call(path, entry, rest)
    except (UserError, ValueError, OSError) as error:
        if debug:
            raise
        return _tell(one_line(error), 2)
    except KeyboardInterrupt:
        return _tell("interrupted", 130)
    except Exception as error:
        if debug:
            raise
        return _tell(f"unexpected {type(error).__name__}: {one_line(error)}; --debug shows where", 1)
    return 0


def _tell(message: str, status: int) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return status
