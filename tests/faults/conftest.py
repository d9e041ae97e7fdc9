"""What the tests of faults have in common: how often they try, and what they note of it."""

import contextlib
import io
import json
from pathlib import Path

import pytest

from tests import processes
from tests.faults.reliability import Trial, write
from tests.folders import folder

TRIALS = pytest.StashKey[list[Trial]]()


def pytest_configure(config):
    config.stash[TRIALS] = []


@pytest.fixture(scope="session")
def tried(pytestconfig):
    """Notes for the page of ``--reliability`` what a test tried: ``tried(area, what, times, outcome)``.

    Args of the function:
        area: heading that the row stands below, such as "Interrupted trainings".
        what: what was done, such as "msvm_acdc: killed at a random moment".
        times: how many times, as counted by the test.
        outcome: what happened each time. Call it when this has been asserted: after a failure there is no page.
    """

    def note(area: str, what: str, times: int, outcome: str) -> None:
        pytestconfig.stash[TRIALS].append(Trial(area, what, times, outcome))

    return note


@pytest.fixture(scope="session")
def full(pytestconfig):
    """Whether to try as often as for the page (``--faults-full``)."""
    return pytestconfig.getoption("--faults-full")


@pytest.fixture(scope="session")
def server():
    """Starts runs without the time that imports take, see :class:`tests.processes.Server`."""
    return processes.server()


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    """Makes a sample of a bundle once, with one case to validate."""
    from scripts.data.sample import sample

    made = {}
    with folder(tmp_path_factory, "samples") as work:

        def get(bundle):
            if bundle not in made:
                made[bundle] = work / bundle
                with contextlib.redirect_stdout(io.StringIO()):
                    sample(bundle, str(made[bundle]))
                path = made[bundle] / "datalist.json"
                datalist = json.loads(path.read_text())
                path.write_text(json.dumps({**datalist, "validation": datalist["validation"][:1]}))
            return made[bundle]

        yield get


def pytest_sessionfinish(session, exitstatus):
    path, trials = session.config.getoption("--reliability"), session.config.stash[TRIALS]
    if path and exitstatus == 0 and trials:
        write(Path(path), trials)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    if path := config.getoption("--reliability"):
        done = exitstatus == 0 and config.stash[TRIALS]
        terminalreporter.write_line(
            f"{path} {'was written' if done else 'was not written: no test noted anything, or one failed'}"
        )
