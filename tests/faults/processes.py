"""Processes that run bundles and start at once: a server imports everything, and forks itself for each of them.

What runs is ``python -m monai.bundle …`` in every respect but the time of the imports.
"""

import faulthandler
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.timeouts import HANG

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = (
    "ignite.handlers", "monai.bundle", "monai.bundle.__main__", "monai.engines", "monai.handlers", "monai.inferers",
    "monai.losses", "monai.transforms", "monai.data", "nibabel", "PIL.Image", "scipy.ndimage", "components.data",
    "components.handlers", "components.inferers", "components.metrics", "components.networks", "components.runs",
    "components.transforms", "torch.optim.lr_scheduler", "torch._dynamo",
)  # fmt: skip


class Server:
    """The server, as its clients see it; a context manager."""

    def __enter__(self):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, __file__], env=environment, **pipe)
        self.running = []
        return self

    def __exit__(self, *error):
        for run in self.running:
            run.kill()
        self.process.stdin.close()
        self.process.wait()

    def start(self, words, cwd, prelude=""):
        """Start ``python -m WORDS`` in a folder; the prelude is Python code that is executed before."""
        output = Path(cwd) / f"said{len(self.running)}.txt"
        output.touch()
        request = {"words": list(map(str, words)), "cwd": str(cwd), "output": str(output), "prelude": prelude}
        run = Run(self, self.ask(request), output)
        self.running.append(run)
        return run

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Run:
    """A process that the server forked, the leader of a group of its own."""

    def __init__(self, server, number, output):
        self.server, self.number, self.output = server, number, output
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
        return self.output.read_text()

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
        __import__(module)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            number, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if number else None
        else:
            answer = os.fork()
            if not answer:
                return request
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return None


def become(request):
    """Make a forked process one that was started with these words."""
    os.setpgid(0, 0)
    os.chdir(request["cwd"])
    for number, name, mode in ((0, os.devnull, os.O_RDONLY), (1, request["output"], os.O_WRONLY)):
        os.dup2(os.open(name, mode), number)
    os.dup2(1, 2)
    faulthandler.enable()
    module, *words = request["words"]
    sys.argv = [module, *words]
    sys.orig_argv = [sys.executable, "-m", module, *words]
    exec(request["prelude"], {})
    return module


if __name__ == "__main__" and (asked := serve()):
    runpy.run_module(become(asked), run_name="__main__", alter_sys=True)
