"""A gang of processes that train one trial together, as a cluster would start them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

_SECONDS = 100
"""The longest wait for a rank."""

_MODULES = [
    "ray.tune",
    "sklearn.datasets",
    "torch._dynamo",  # DistributedDataParallel imports it
    "trainables.distributed.sharding",
    "trainables.torch.learner",
]
"""Imported once, in the process from which the ranks are forked."""


class Gang:
    """Processes that run one trial after another. The first ``world`` of them are the ranks of a trial."""

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_MODULES)
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(size):
            own, other = context.Pipe()
            process = context.Process(target=_serve, args=(other,), daemon=True)
            process.start()
            other.close()
            self._pipes.append(own)
            self._processes.append(process)

    def run(self, world: int, function: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
        """Call a function in ``world`` ranks, and return what each returned. Raises what a rank raised."""
        ranks = self._pipes[:world]
        port = free_port()
        for rank, pipe in enumerate(ranks):
            pipe.send((_environment(rank, world, port), function, args, options))
        for pipe in ranks:
            if not wait([pipe], timeout=_SECONDS):
                raise TimeoutError(f"a rank did not answer within {_SECONDS} s")
        answers = [pipe.recv() for pipe in ranks]
        for error, text in (answer for answer in answers if isinstance(answer, tuple)):
            error.add_note(text)
            raise error
        return [answer["returned"] for answer in answers]

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
            process.kill()


def _environment(rank: int, world: int, port: int) -> dict[str, str]:
    if world == 1:
        return {}
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "NODE_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _serve(pipe: Connection) -> None:
    import torch
    from ray.tune.trainable import trainable

    torch.set_num_threads(1)
    trainable.DEFAULT_STORAGE_PATH = tempfile.mkdtemp()  # Ray makes a folder for each trial
    while True:
        try:
            environment, function, args, options = pipe.recv()
        except EOFError:
            return
        os.environ.update(environment)
        try:
            answer: Any = {"returned": function(*args, **options)}
        except Exception as error:
            answer = error, traceback.format_exc()
        finally:
            for name in environment:
                del os.environ[name]
        if torch.distributed.is_initialized():
            answer = RuntimeError("the trial did not leave its process group"), ""
        pipe.send(answer)
