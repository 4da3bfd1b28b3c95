"""Start or join a Ray cluster, and find out which trials fit on it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tuner.code.importing import importing
from tuner.code.modules import LOADED_FILES
from tuner.errors import ClusterError
from tuner.resources import Resources

# Quiet defaults for Ray. The user's environment takes precedence.
_ENVIRONMENT = {
    # Otherwise only a local ray.init() uses the token.
    "RAY_AUTH_MODE": "token",
    # Trials keep the working directory, so that relative paths are the same as in the shell.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # This is Ray's default, which hides the GPUs from a process that requests none. Setting it avoids Ray's
    # warning about a future change.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}

_QUICK_START = {
    # The raylet's first attempt to connect to its object store is too early. Ray 2.60 would wait 1 s before
    # the second. The total time of all attempts stays the same.
    "RAY_raylet_client_connect_timeout_milliseconds": "50",
    "RAY_raylet_client_num_connect_attempts": "200",
}
"""Additional variables for a Ray cluster that starts here."""

_SECONDS_TO_ANSWER = 10.0

# The machines of a new cluster may need minutes to join.
_SECONDS_TO_JOIN = 600.0
_SECONDS_BETWEEN_MESSAGES = 15.0


@contextlib.contextmanager
def connected(
    address: str | None, *, verbose: bool, num_cpus: int | None = None, memory: int | None = None
) -> Iterator[None]:
    """Connect to a Ray cluster: one already joined, the one at ``address``, or else a new local one.

    ``num_cpus`` is the number of CPUs of a new local cluster, and ``memory`` its memory in bytes; ``None``
    means all of the machine. At the end, the context leaves a cluster that it joined and stops one that it
    started. Raises ClusterError if the connection fails.
    """
    with connecting(address, verbose=verbose, num_cpus=num_cpus, memory=memory) as ready:
        ready()
        yield


@contextlib.contextmanager
def connecting(
    address: str | None, *, verbose: bool, num_cpus: int | None = None, memory: int | None = None
) -> Iterator[Callable[[], None]]:
    """Do the same in the background. Call the context's value to wait for the connection."""
    with contextlib.ExitStack() as at_exit, warnings.catch_warnings():
        at_exit.enter_context(_environment(address))
        _ensure_token()
        if not verbose:
            warnings.simplefilter("ignore")
        with importing():
            import ray

        if not verbose:
            at_exit.enter_context(_quiet())
        if ray.is_initialized():
            if address is not None:
                raise ClusterError(
                    f"address: this process has already joined a cluster, got address={address!r}"
                )
            yield _do_not_wait
            return
        # Ray reads its environment at import, and a trainable's module may have imported it earlier.
        ray._raylet.Config.initialize("")
        _check_address(address)
        connection = _Connection(address, verbose=verbose, num_cpus=num_cpus, memory=memory)
        at_exit.callback(connection.leave)
        connection.start()
        yield connection.wait


def _do_not_wait() -> None:
    """Return at once, for a cluster that was already joined."""


class _Connection(threading.Thread):
    """Starts or joins Ray, and leaves it later.

    Linux kills Ray's processes when the thread that started them ends, so this thread lives as long as Ray.
    """

    def __init__(
        self, address: str | None, *, verbose: bool, num_cpus: int | None, memory: int | None
    ) -> None:
        super().__init__(name="ray", daemon=True)
        self._address, self._verbose = address, verbose
        self._num_cpus, self._memory = num_cpus, memory
        self._is_done, self._may_leave = threading.Event(), threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        """Start or join Ray, and wait until ``leave`` is called."""
        import ray

        try:
            self._init()
        except Exception as error:  # Ray raises a plain Exception if a node does not start in time
            self._error = error
            return
        finally:
            self._is_done.set()
        self._may_leave.wait()
        ray.shutdown()

    def _init(self) -> None:
        import ray

        from tuner.cluster.local_node import LocalNode, VerboseLocalNode
        from tuner.ray_internals.core import own_node_class

        with _unchanged_sigterm(), own_node_class(VerboseLocalNode if self._verbose else LocalNode):
            ray.init(
                address=self._address or "local",
                job_config=ray.job_config.JobConfig(_py_driver_sys_path=_user_folders()),
                num_cpus=self._num_cpus,
                _memory=self._memory,
                include_dashboard=False if self._address is None else None,
                log_to_driver=self._verbose,
                logging_level=logging.INFO if self._verbose else logging.CRITICAL,
                configure_logging=self._verbose,
            )

    def wait(self) -> None:
        """Wait for the connection. Raises ClusterError if Ray cannot be started or joined."""
        self._is_done.wait()
        if self._error is not None:
            address = self._address
            fault = f"no Ray cluster at {address!r} can be reached" if address else "cannot start Ray here"
            said = str(self._error).splitlines() or [type(self._error).__name__]
            raise ClusterError(f"address: {fault}: {said[0]}") from self._error

    def leave(self) -> None:
        """Leave Ray, or stop it if it was started here."""
        self._may_leave.set()
        self.join()


@contextlib.contextmanager
def _unchanged_sigterm() -> Iterator[None]:
    """Restore the process's handler of SIGTERM at the end.

    Ray's library installs a handler that starts an alarm, calls the old handler, and aborts the process when
    the alarm rings 3 s later. Python can set handlers in the main thread only, so we copy those of the C
    library.
    """
    libc = ctypes.CDLL(None)
    numbers = (signal.SIGTERM, signal.SIGALRM)
    handlers = {number: ctypes.create_string_buffer(1024) for number in numbers}  # a `struct sigaction` each
    for number, handler in handlers.items():
        libc.sigaction(number, None, handler)
    try:
        yield
    finally:
        found = ctypes.create_string_buffer(1024)
        libc.sigaction(signal.SIGALRM, None, found)
        if found.raw != handlers[signal.SIGALRM].raw:  # a SIGTERM has met Ray's handler
            signal.alarm(0)
        for number, handler in handlers.items():
            libc.sigaction(number, handler, None)


def _user_folders() -> list[str]:
    """Return the folders of the user's files, so that tasks of trials find modules there too."""
    return sorted({str(file.path.parent) for file in LOADED_FILES.values()})


@contextlib.contextmanager
def _environment(address: str | None) -> Iterator[None]:
    """Set our values of Ray's variables, except those that the user has set."""
    ours = _ENVIRONMENT if address else {**_ENVIRONMENT, **_QUICK_START}
    unset = [name for name in ours if name not in os.environ]
    os.environ.update({name: ours[name] for name in unset})
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Ray's loggers."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.data", "ray.train")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def is_joined() -> bool:
    """Return whether this process has joined a cluster."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _check_address(address: str | None) -> None:
    """Raise ClusterError if nothing answers at ``host:port``. Ray would retry for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or not port.isdigit() or "://" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        what = error.strerror or str(error)
        raise ClusterError(f"address: no Ray cluster at {address!r} can be reached: {what}") from error


def is_spread() -> bool:
    """Return whether the cluster has, or can get, other nodes than the one of this process."""
    import ray

    from tuner.ray_internals.core import autoscaler_config

    if not ray.is_initialized():  # the calls below would start Ray
        return False
    here = ray.get_runtime_context().get_node_id()
    config = autoscaler_config()
    return (config is not None and bool(config.node_group_configs)) or any(
        node["Alive"] and node["NodeID"] != here for node in ray.nodes()
    )


def is_reachable() -> bool:
    """Return whether Ray's server still answers. A signal for all our processes may have ended it."""
    import ray

    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError:
        return False
    return True


def is_own() -> bool:
    """Return whether this process started the cluster, which then gets no more nodes."""
    from tuner.ray_internals.core import own_node

    node = own_node()
    return node is not None and bool(node.head)


def await_node(resources: Resources, *, ended: Callable[[], bool]) -> None:
    """Wait for a node on which a trial fits, if nodes may still join. Print a message on stderr meanwhile.

    Raises KeyboardInterrupt when ``ended`` returns true.
    """
    began = printed = 0.0
    while capacity(resources) == 0 and not is_own() and not can_grow_to(resources.bundle):
        now = time.monotonic()
        began = began or now
        if ended():
            raise KeyboardInterrupt
        if now - began > _SECONDS_TO_JOIN:
            return  # the caller's `require` then raises an error
        if now - printed > _SECONDS_BETWEEN_MESSAGES:
            printed = now
            wanted = f"a node with cpu={resources.cpu:g}, gpu={resources.gpu:g}"
            message = f"waiting for {wanted}; none of {len(nodes())} nodes has that much yet"
            print(message, file=sys.stderr, flush=True)
        time.sleep(0.5)


def nodes() -> list[dict[str, float]]:
    """Return the resources of each live node."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def total() -> dict[str, float]:
    """Return the sum of the resources of all live nodes."""
    amounts: dict[str, float] = {}
    for node in nodes():
        for kind, amount in node.items():
            amounts[kind] = amounts.get(kind, 0) + amount
    return amounts


def capacity(resources: Resources) -> int:
    """Return how many trials with these resources fit on the live nodes at once."""
    return sum(fits(resources.bundle, node) for node in nodes())


def require(resources: Resources) -> int:
    """Return the cluster's capacity. Raises ClusterError if a trial can never fit on a node."""
    slots = capacity(resources)
    if slots == 0 and not can_grow_to(resources.bundle):
        alive = nodes()
        largest = {kind: max((node.get(kind, 0) for node in alive), default=0) for kind in ("CPU", "GPU")}
        raise ClusterError(
            f"resources: no node can hold a trial with cpu={resources.cpu:g}, gpu={resources.gpu:g}; "
            f"the largest of {len(alive)} has {largest['CPU']:g} CPU and {largest['GPU']:g} GPU"
        )
    return slots


def can_grow_to(bundle: Mapping[str, float]) -> bool:
    """Return whether the cluster's autoscaler can add a node on which the bundle fits."""
    from tuner.ray_internals.core import autoscaler_config

    config = autoscaler_config()
    groups = config.node_group_configs if config is not None else ()
    return any(fits(bundle, dict(group.resources)) > 0 for group in groups)


def waiting() -> list[dict[str, float]]:
    """Return the resource requests of tasks and actors that wait for room. Equal requests count once."""
    from ray.core.generated.gcs_pb2 import ResourceUsageBatchData

    from tuner.ray_internals.core import resource_usage

    usage = ResourceUsageBatchData.FromString(resource_usage())
    demands = usage.resource_load_by_shape.resource_demands
    return [dict(each.shape) for each in demands if each.num_ready_requests_queued and each.shape]


def fits(bundle: Mapping[str, float], node: Mapping[str, float]) -> int:
    """Return how many bundles fit on a node with these resources at once."""
    # The margin makes ten times 0.1 equal to 1.
    return min(
        # A fraction of a GPU must be on one GPU, so three trials with 0.6 each need three GPUs.
        int(node.get(kind, 0)) * int(1 / amount + 1e-9)
        if kind == "GPU" and amount < 1
        else int(node.get(kind, 0) / amount + 1e-9)
        for kind, amount in bundle.items()
        if amount > 0
    )


def _ensure_token() -> None:
    """Create an authentication token if there is none, and let only its owner read it."""
    if os.environ["RAY_AUTH_MODE"] != "token" or "RAY_AUTH_TOKEN" in os.environ:
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process created a token first; use that one
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
