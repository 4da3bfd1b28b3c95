"""The ranks of a gang and what their processes are told."""

from __future__ import annotations

import time

import pytest
from ray.exceptions import RayActorError

from tuner.cluster.fresh import Fresh
from tuner.cluster.gangs import Gang, size_of_gang
from tuner.errors import TrialError
from tuner.resources import Resources
from tuner.worker.gang import by_machine, environments, first_cause
from tuner.worker.setup import Place


def place(machine: str, *gpus: str) -> Place:
    return Place(f"10.0.0.{machine}", machine, {}, True, node_id=machine, gpus=gpus)


def test_ranks_are_contiguous_on_each_machine_and_the_leader_is_first():
    places = [place("2"), place("1"), place("2"), place("1"), place("3")]
    assert by_machine(places) == [0, 2, 1, 3, 4]


def test_each_rank_gets_the_variables_of_torchrun():
    places = [place("1", "0"), place("1", "2"), place("2", "5")]
    first, second, third = environments(places, port=1234)
    assert first == {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "3",
        "LOCAL_WORLD_SIZE": "2",
        "NODE_RANK": "0",
        "GROUP_RANK": "0",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "1234",
        "CUDA_VISIBLE_DEVICES": "0,2",
    }
    assert second == {**first, "RANK": "1", "LOCAL_RANK": "1"}
    changed = {"RANK": "2", "LOCAL_WORLD_SIZE": "1", "NODE_RANK": "1", "GROUP_RANK": "1"}
    assert third == {**first, **changed, "CUDA_VISIBLE_DEVICES": "5"}


def test_without_gpus_the_visible_devices_are_unchanged():
    assert all("CUDA_VISIBLE_DEVICES" not in each for each in environments([place("1")] * 2, port=1))


def error(text: str, *, at: float) -> TrialError:
    found = TrialError(text)
    found.at = at
    return found


@pytest.mark.parametrize(
    ("failures", "cause"),
    [
        ({0: error("a", at=2.0), 1: error("b", at=1.0), 2: error("c", at=3.0)}, 1),
        ({0: error("Connection closed by peer [::1]", at=1.0), 1: error("b", at=2.0)}, 1),
        ({0: error("a", at=1.0), 1: RayActorError()}, 1),
        ({0: error("connection reset by peer", at=time.time() + 9), 2: error("broken pipe", at=1.0)}, 2),
    ],
)
def test_the_first_failure_is_the_one_that_the_others_follow_from(failures, cause):
    assert first_cause(failures) == cause


def test_a_gang_is_a_bundle_for_each_process():
    gang = Gang(Resources(cpu=2, gpu=1, processes=3, placement="one_machine", custom={"license": 1}))
    assert gang.bundles == [{"CPU": 2, "GPU": 1, "license": 1}] * 3
    assert gang.strategy == "STRICT_PACK"
    assert size_of_gang(gang) == size_of_gang(Fresh(gang)) == 3
