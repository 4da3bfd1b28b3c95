"""Runs one program, and leaves nothing behind when it ends, is stopped, or its worker dies.

Usage: ``python -I -S supervisor.py CONTROL STATUS GRACE WORD...`` with two file descriptors. The program is
stopped when CONTROL is closed, also by the worker's death: SIGTERM to its process group, and after GRACE
seconds SIGKILL to everything that it started. STATUS gets one line of JSON: its exit code, or why it did not
start.

Imports only the standard library, so that it starts within a few milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h

_SECONDS_FOR_LEFTOVERS = 1.0
"""Time that background processes get to end after the program's own end."""


def main() -> None:
    """Run the program, and write its exit code."""
    control, status = int(sys.argv[1]), int(sys.argv[2])
    grace, line = float(sys.argv[3]), sys.argv[4:]
    if os.fork():  # Ray kills the children of a dead worker, and must not kill this process first
        os._exit(0)
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # CONTROL alone decides
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake)
    try:
        program = subprocess.Popen(line, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_begin)
    except (OSError, ValueError) as error:
        _tell(status, {"error": str(error)})
        return
    for descriptor in (1, 2):  # the worker must see the end of the program's output
        with contextlib.suppress(OSError):
            os.close(descriptor)
    while program.poll() is None:
        ready, _, _ = select.select([control, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
        if control in ready:
            _stop(program, grace)
            break
    _end_leftovers(program, _SECONDS_FOR_LEFTOVERS)
    _tell(status, {"code": program.returncode})


def _begin() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _stop(program: subprocess.Popen[bytes], grace: float) -> None:
    _signal_group(program, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(grace)
    _signal_group(program, signal.SIGKILL)
    program.wait()


def _end_leftovers(program: subprocess.Popen[bytes], grace: float) -> None:
    """End the processes that the program left behind, also those in other process groups."""
    _signal_group(program, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while _reap():
        if time.monotonic() > deadline:
            _signal_group(program, signal.SIGKILL)
            for child in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def _reap() -> bool:
    """Collect ended children. Return whether any are left."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    """Return the children of this process. With the subreaper, these are the program's leftovers."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
            if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(name))
    return found


def _signal_group(program: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, number)


def _tell(status: int, message: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # the worker has died
        os.write(status, (json.dumps(message) + "\n").encode())


if __name__ == "__main__":
    main()
