"""Start or join a Ray cluster, and say what it can hold."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
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
from tuner.objective import Resources

# Local to Ray: quiet defaults that a user's own environment overrides.
_ENVIRONMENT = {
    # Without it, everything but a local ray.init() ignores the token.
    "RAY_AUTH_MODE": "token",
    # Trials keep the working directory, so that relative paths mean what they mean in the shell.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Ray would otherwise hide the GPUs from a process without any, which is what it does by default today,
    # and warn that it will not do so in the future.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}

_QUICK_START = {
    # The raylet's first attempt to connect to its own object store comes too early. Ray 2.60 would wait 1 s
    # until the second. The time for all attempts stays the same.
    "RAY_raylet_client_connect_timeout_milliseconds": "50",
    "RAY_raylet_client_num_connect_attempts": "200",
}
"""More of them for a Ray that starts here."""

_SECONDS_TO_ANSWER = 10.0

# Machines of a cluster that is being started may take minutes to join.
_SECONDS_TO_JOIN = 600.0
_SECONDS_BETWEEN_WORDS = 15.0


@contextlib.contextmanager
def connected(address: str | None, *, verbose: bool, num_cpus: int | None = None) -> Iterator[None]:
    """A context with a Ray cluster: one already joined, the one at ``address``, else a new local one.

    ``num_cpus`` is how many CPUs a new local one offers (``None``: those of the machine). What was started or
    joined here is left again at the end. Raises ClusterError when there is none.
    """
    with connecting(address, verbose=verbose, num_cpus=num_cpus) as ready:
        ready()
        yield


@contextlib.contextmanager
def connecting(
    address: str | None, *, verbose: bool, num_cpus: int | None = None
) -> Iterator[Callable[[], None]]:
    """The same while Ray starts in the background: call the context's value to wait until it is there."""
    with contextlib.ExitStack() as left, warnings.catch_warnings():
        left.enter_context(_environment(address))
        _ensure_token()
        if not verbose:
            warnings.simplefilter("ignore")
        with importing():
            import ray

        if not verbose:
            left.enter_context(_quiet())
        if ray.is_initialized():
            if address is not None:
                raise ClusterError(
                    f"address: this process has joined a cluster already, got address={address!r}"
                )
            yield _nothing
            return
        # Ray reads its environment when it is imported, which a trainable's module may have done long ago.
        ray._raylet.Config.initialize("")
        _knock(address)
        connection = _Connection(address, verbose=verbose, num_cpus=num_cpus)
        left.callback(connection.leave)
        connection.start()
        yield connection.wait


def _nothing() -> None:
    """Wait for a cluster that is there."""


class _Connection(threading.Thread):
    """Starts or joins Ray, and leaves it when told to.

    Linux kills a process that Ray has started when the thread that started it ends, so one thread does both.
    """

    def __init__(self, address: str | None, *, verbose: bool, num_cpus: int | None) -> None:
        super().__init__(name="ray", daemon=True)
        self._address, self._verbose, self._num_cpus = address, verbose, num_cpus
        self._is_there, self._is_unwanted = threading.Event(), threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        """Start or join Ray and stay until it is to be left."""
        import ray

        try:
            self._init()
        except Exception as error:  # Ray has no exception of its own for a node that does not start in time
            self._error = error
            return
        finally:
            self._is_there.set()
        self._is_unwanted.wait()
        ray.shutdown()

    def _init(self) -> None:
        import ray

        from tuner.cluster.local_node import LocalNode, VerboseLocalNode
        from tuner.ray_internals.core import own_node_class

        with own_node_class(VerboseLocalNode if self._verbose else LocalNode):
            ray.init(
                address=self._address or "local",
                job_config=ray.job_config.JobConfig(_py_driver_sys_path=_paths_of_user_files()),
                num_cpus=self._num_cpus,
                include_dashboard=False if self._address is None else None,
                log_to_driver=self._verbose,
                logging_level=logging.INFO if self._verbose else logging.CRITICAL,
                configure_logging=self._verbose,
            )

    def wait(self) -> None:
        """Wait until Ray is there. Raises ClusterError when it cannot be started or joined."""
        self._is_there.wait()
        if self._error is not None:
            address = self._address
            failed = (
                f"no Ray cluster at {address!r} can be reached" if address else "none can be started here"
            )
            said = str(self._error).splitlines() or [type(self._error).__name__]
            raise ClusterError(f"address: {failed}: {said[0]}") from self._error

    def leave(self) -> None:
        """Leave Ray; stop it if it was started here."""
        self._is_unwanted.set()
        self.join()


def _paths_of_user_files() -> list[str]:
    """The folders of the user's files, where tasks that trials start look for modules too."""
    return sorted({str(file.path.parent) for file in LOADED_FILES.values()})


@contextlib.contextmanager
def _environment(address: str | None) -> Iterator[None]:
    """A context in which Ray's variables that the user has not set have our values."""
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
    """A context in which Ray logs nothing."""
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
    """Whether this process has joined a cluster."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _knock(address: str | None) -> None:
    """Raise ClusterError when nothing answers at ``host:port``; Ray itself would go on trying for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or not port.isdigit() or "://" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        what = error.strerror or str(error)
        raise ClusterError(f"address: no Ray cluster at {address!r} can be reached: {what}") from error


def is_spread() -> bool:
    """Whether there are nodes other than this process's, or may be."""
    import ray

    from tuner.ray_internals.core import autoscaler_config

    if not ray.is_initialized():  # what follows would start Ray
        return False
    here = ray.get_runtime_context().get_node_id()
    config = autoscaler_config()
    return (config is not None and bool(config.node_group_configs)) or any(
        node["Alive"] and node["NodeID"] != here for node in ray.nodes()
    )


def is_own() -> bool:
    """Whether this process has started the cluster, which then has all the nodes that it ever will."""
    from tuner.ray_internals.core import own_node

    node = own_node()
    return node is not None and bool(node.head)


def await_node(resources: Resources, *, ended: Callable[[], bool]) -> None:
    """Wait for a node that can hold a trial of this size, while nodes may still join; say so on stderr.

    Raises KeyboardInterrupt when ``ended`` says that the user has had enough.
    """
    began = told = 0.0
    while capacity(resources) == 0 and not is_own() and not can_grow_to(resources.bundle):
        now = time.monotonic()
        began = began or now
        if ended():
            raise KeyboardInterrupt
        if now - began > _SECONDS_TO_JOIN:
            return  # which `require` will refuse
        if now - told > _SECONDS_BETWEEN_WORDS:
            told = now
            wanted = f"a node with cpu={resources.cpu:g}, gpu={resources.gpu:g}"
            print(
                f"waiting for {wanted}; none of {len(nodes())} has so much yet", file=sys.stderr, flush=True
            )
        time.sleep(0.5)


def nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def total() -> dict[str, float]:
    """The resources of all nodes that are alive together."""
    there: dict[str, float] = {}
    for node in nodes():
        for kind, amount in node.items():
            there[kind] = there.get(kind, 0) + amount
    return there


def capacity(resources: Resources) -> int:
    """How many trials of this size the nodes that are alive can hold at once."""
    return sum(fits(resources.bundle, node) for node in nodes())


def require(resources: Resources) -> int:
    """The cluster's capacity; raises ClusterError when no node can ever hold one trial."""
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
    """Whether the cluster's autoscaler knows a kind of node that can hold so much."""
    from tuner.ray_internals.core import autoscaler_config

    config = autoscaler_config()
    groups = config.node_group_configs if config is not None else ()
    return any(fits(bundle, dict(group.resources)) > 0 for group in groups)


def waiting() -> list[dict[str, float]]:
    """What tasks and actors that Ray has no room for at present ask for, each kind of request once."""
    from ray.core.generated.gcs_pb2 import ResourceUsageBatchData

    from tuner.ray_internals.core import resource_usage

    usage = ResourceUsageBatchData.FromString(resource_usage())
    demands = usage.resource_load_by_shape.resource_demands
    return [dict(each.shape) for each in demands if each.num_ready_requests_queued and each.shape]


def fits(bundle: Mapping[str, float], node: Mapping[str, float]) -> int:
    """How many such bundles a node with these resources holds at once."""
    # A tiny margin: ten times 0.1 is one.
    return min(
        # A share of a GPU is a share of one of them: three trials of 0.6 need three.
        int(node.get(kind, 0)) * int(1 / amount + 1e-9)
        if kind == "GPU" and amount < 1
        else int(node.get(kind, 0) / amount + 1e-9)
        for kind, amount in bundle.items()
        if amount > 0
    )


def _ensure_token() -> None:
    """See to it that there is an authentication token which only its owner can read."""
    if os.environ["RAY_AUTH_MODE"] != "token" or "RAY_AUTH_TOKEN" in os.environ:
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was faster; its token is as good
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
