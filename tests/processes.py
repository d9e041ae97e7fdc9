"""Processes that run bundles and start at once: a server imports everything, and forks itself for each of them.

What runs is ``python -m monai.bundle …`` in every respect but the time of the imports, 6 to 8 s of a core each.
"""

import faulthandler
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.timeouts import HANG

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = (
    "ignite.handlers", "monai.bundle", "monai.bundle.__main__", "monai.engines", "monai.handlers", "monai.inferers",
    "monai.losses", "monai.transforms", "monai.data", "nibabel", "PIL.Image", "scipy.ndimage", "components.data",
    "components.handlers", "components.inferers", "components.metrics", "components.networks", "components.runs",
    "components.transforms", "torch.optim.lr_scheduler", "torch._dynamo", "numba.core.typing.cffi_utils",
)  # fmt: skip
SETTINGS = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
"""Variables of the environment of every run, forked or not."""
ONE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""For the server: pandas, which MONAI imports, imports pyarrow, whose allocator would start a thread."""


@functools.cache
def server():
    """The server of this process; it is started by the first call, and :func:`stop` ends it."""
    return Server().__enter__()


def stop():
    """End the server of this process, if there is one."""
    if server.cache_info().currsize:
        server().__exit__()
        server.cache_clear()


def run(words, cwd, processes=1, environment=None):
    """Run ``python -m WORDS`` in a folder to its end, in one process or in several that train together.

    Returns:
        What ``subprocess.run`` does: the first status that is not 0, and the text of standard output and errors.
    """
    if sys.platform != "linux":  # elsewhere a process that has imported so much cannot be forked
        return run_fresh(words, cwd, processes, environment)
    if processes > 1:
        runs = server().together(words, cwd, [""] * processes, environment)
    else:
        runs = [server().start(words, cwd, environment=environment)]
    statuses = [started.wait() for started in runs]
    texts = ("\n".join(getattr(started, name).read_text() for started in runs) for name in ("output", "errors"))
    return subprocess.CompletedProcess(words, next(filter(None, statuses), 0), *texts)


def run_fresh(words, cwd, processes=1, environment=None):
    """As :func:`run`, by the very command of the documentation: in an interpreter of its own, several by torchrun."""
    launcher = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    command = [sys.executable, "-m", *(launcher if processes > 1 else ()), *map(str, words)]
    variables = {**os.environ, **SETTINGS, **(environment or {})}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=HANG)


class Server:
    """The server, as its clients see it; a context manager."""

    def __enter__(self):
        environment = {**os.environ, **SETTINGS, **ONE_THREAD}
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, "-m", __name__], cwd=ROOT, env=environment, **pipe)
        self.folder = tempfile.TemporaryDirectory(prefix="scanseg_tests_")
        self.running = []
        return self

    def __exit__(self, *error):
        for started in self.running:
            started.kill()
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()

    def start(self, words, cwd, prelude="", environment=None):
        """Start ``python -m WORDS`` in a folder, with the variables of this process and some more.

        The prelude is Python code that is executed before.
        """
        output, errors = (Path(self.folder.name) / f"{len(self.running)}_{name}.txt" for name in ("output", "errors"))
        for file in (output, errors):
            file.touch()
        request = {
            "words": list(map(str, words)),
            "cwd": str(cwd),
            "output": str(output),
            "errors": str(errors),
            "prelude": prelude,
            "environment": {**os.environ, **SETTINGS, **(environment or {})},
        }
        started = Run(self, self.ask(request), output, errors)
        self.running.append(started)
        return started

    def together(self, words, cwd, preludes, environment=None):
        """Start a process for each prelude; all of them train together, as a launcher starts them."""
        import torch.distributed

        # As a launcher's, the store is not that of a process: its port is taken at once.
        store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        common = {
            **(environment or {}),
            "WORLD_SIZE": str(len(preludes)),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
        }
        common |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
        runs = []
        for rank, prelude in enumerate(preludes):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            runs.append(self.start(words, cwd, prelude, {**common, **own}))
            runs[-1].store = store  # lives as long as they
        return runs

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the server ended with status {self.process.wait()}"
        return json.loads(answer)


class Run:
    """A process that the server forked, the leader of a group of its own."""

    def __init__(self, server, number, output, errors):
        self.server, self.number, self.output, self.errors = server, number, output, errors
        self.status = None

    def send(self, sent, group=False):
        if self.poll() is None:
            (os.killpg if group else os.kill)(self.number, sent)

    def kill(self):
        self.send(signal.SIGKILL)
        self.wait()

    def poll(self):
        """The exit status, negative for the signal that killed it; None while it runs."""
        if self.status is None:
            self.status = self.server.ask({"poll": self.number})
        return self.status

    def wait(self, timeout=HANG):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                self.send(signal.SIGABRT)  # it says where it hangs
                time.sleep(1)
                raise AssertionError(f"it still runs after {timeout} s\n{self.text()[-3000:]}")
            time.sleep(0.02)
        return self.status

    def text(self):
        """What it has said: its standard output, then its errors."""
        return self.output.read_text() + self.errors.read_text()

    def wait_for(self, words, timeout=HANG):
        """Wait until it has said these words."""
        end = time.monotonic() + timeout
        while words not in self.text():
            assert self.poll() is None, f"it ended with {self.status}\n{self.text()[-3000:]}"
            assert time.monotonic() < end, f"it has not said {words!r}\n{self.text()[-3000:]}"
            time.sleep(0.01)


def serve():
    """Fork for every request; returns it in the forked process, and None in the server at its end."""
    for module in IMPORTED:
        importlib.import_module(module)
    warm_up()
    gc.freeze()  # the garbage collections of the forked processes pass over what is imported here
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            number, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if number else None
        else:
            # A lock that another thread holds would never be opened in the forked process.
            assert len(os.listdir("/proc/self/task")) == 1, "a module that is imported starts a thread"
            answer = os.fork()
            if not answer:
                return request
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return None


def warm_up():
    """Have Numba load what it needs to load any compiled function."""
    import numba

    numba.njit(lambda number: number + 1)(1)


def become(request):
    """Make a forked process one that was started with these words."""
    os.setpgid(0, 0)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, name, mode in (
        (0, os.devnull, os.O_RDONLY), (1, request["output"], os.O_WRONLY), (2, request["errors"], os.O_WRONLY)
    ):  # fmt: skip
        os.dup2(os.open(name, mode), number)
    faulthandler.enable()
    module, *words = request["words"]
    sys.path[0] = request["cwd"]
    sys.argv = [module, *words]
    sys.orig_argv = [sys.executable, "-m", module, *words]
    exec(request["prelude"], {})
    return module


if __name__ == "__main__" and (asked := serve()):
    runpy.run_module(become(asked), run_name="__main__", alter_sys=True)
