"""The random streams of one trial: functions of its seed, independent of other trials."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

_GLOBAL_GENERATORS = threading.RLock()
"""Guards torch's global generators, one per device and process, from which dropout draws."""


class RandomStreams:
    """Random streams: ``order`` shuffles rows, and ``borrowed()`` feeds torch's global generators."""

    def __init__(self, seed: int, device: torch.device) -> None:
        order, noise = (int(word) for word in np.random.SeedSequence(seed).generate_state(2, np.uint64))
        self.order = torch.Generator().manual_seed(order)
        self._device = device
        self._noise = self._seeded(noise)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Let torch's global generators draw from this trial's stream, and restore them afterwards."""
        with _GLOBAL_GENERATORS:
            before = self._global_states()
            self._set_global_states(self._noise)
            try:
                yield
            finally:
                self._noise = self._global_states()
                self._set_global_states(before)

    def restart_noise(self, entropy: Sequence[int]) -> None:
        """Let the global generators draw from a new stream, which ``entropy`` determines."""
        [noise] = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
        self._noise = self._seeded(int(noise))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return byte tensors on the CPU from which ``load_state_dict`` continues exactly."""
        return {
            "order": self.order.get_state(),
            **{f"noise_{key}": state for key, state in self._noise.items()},
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continue from a saved state. A CUDA stream that the saving trial did not use remains as seeded."""
        self.order.set_state(state["order"])
        self._noise = {key: state.get(f"noise_{key}", own) for key, own in self._noise.items()}

    def _seeded(self, seed: int) -> dict[str, torch.Tensor]:
        states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.Generator(self._device).manual_seed(seed).get_state()
        return states

    def _global_states(self) -> dict[str, torch.Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def _set_global_states(self, states: dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self._device)
