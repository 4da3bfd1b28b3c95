"""Which placement groups are kept for a later trial and which are released, on a cluster of two CPUs."""

from typing import Any

import pytest
from ray.air.execution.resources import AcquiredResources, ResourceManager
from ray.tune import PlacementGroupFactory

from tests.present import present
from tuner.cluster.groups import PlacementGroups
from tuner.cluster.lanes import WorkerHandle

ONE = PlacementGroupFactory([{"CPU": 1}])
OTHER = PlacementGroupFactory([{"CPU": 1}], strategy="SPREAD")
QUARTER = PlacementGroupFactory([{"CPU": 0.25}])
HALF = PlacementGroupFactory([{"CPU": 0.5, "GPU": 0.5}])
BOTH = PlacementGroupFactory([{"CPU": 2}])
SPREAD = PlacementGroupFactory([{"CPU": 1}, {"CPU": 1}])
HEADLESS = PlacementGroupFactory([{}, {"CPU": 1}])
TOTAL = {"CPU": 2.0, "GPU": 1.0}


class Ray(ResourceManager):
    """Two CPUs and a GPU, handed out to any request that fits."""

    is_up = True
    kind, amount = "CPU", TOTAL["CPU"]
    """What limits the groups that fit."""

    def __init__(self):
        self.requested, self.placed = [], []

    def request_resources(self, resource_request):
        self.requested.append(resource_request)

    def cancel_resource_request(self, resource_request):
        self.requested.remove(resource_request)

    def has_resources_ready(self, resource_request):
        taken = sum(group.resource_request.required_resources[self.kind] for group in self.placed)
        needed = resource_request.required_resources[self.kind]
        return resource_request in self.requested and taken + needed <= self.amount

    def acquire_resources(self, resource_request):
        if not self.has_resources_ready(resource_request):
            return None
        self.requested.remove(resource_request)
        self.placed.append(Group(resource_request))
        return self.placed[-1]

    def free_resources(self, acquired_resource):
        self.placed = [group for group in self.placed if group is not acquired_resource]

    def clear(self):
        self.requested, self.placed = [], []


class Group(AcquiredResources):
    pass


class Processes:
    """Workers that start, are ready and answer until they are ended or die."""

    def __init__(self):
        self.running = []

    def start(self, group):
        self.running.append(WorkerHandle(actor=None))
        return self.running[-1]

    def is_ready(self, worker):
        return True  # even if it has died since

    def is_alive(self, worker):
        return worker in self.running

    def end(self, worker):
        if worker in self.running:
            self.running.remove(worker)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Cluster:
    """Placement groups with a fake Ray, fake worker processes and a clock of the test's own."""

    def __init__(self, *, most=2, apart=False):
        self.ray, self.processes, self.clock = Ray(), Processes(), Clock()
        processes: Any = self.processes
        parts: Any = {"total": lambda: TOTAL, "is_reachable": lambda: self.ray.is_up, "clock": self.clock}
        self.groups = PlacementGroups(processes, self.ray, most=most, apart=apart, **parts)

    def begin(self, request):
        """Return the lease of a trial whose request is granted without waiting."""
        self.groups.request_resources(request)
        assert self.groups.has_resources_ready(request)
        lease = self.groups.acquire_resources(request)
        present(lease).open({})
        return lease

    def end(self, *leases):
        for lease in leases:
            self.groups.free_resources(lease)

    @property
    def sizes(self):
        return sorted(group.resource_request.required_resources["CPU"] for group in self.ray.placed)


@pytest.fixture
def cluster():
    return Cluster()


def test_the_next_trial_with_the_same_request_gets_the_same_process(cluster):
    first = cluster.begin(ONE)
    cluster.end(first)
    assert cluster.begin(PlacementGroupFactory([{"CPU": 1.0}])).worker is first.worker
    assert cluster.sizes == [1]


def test_a_trial_with_another_request_gets_another_process(cluster):
    first = cluster.begin(ONE)
    cluster.end(first)
    assert cluster.begin(OTHER).worker is not first.worker
    assert cluster.sizes == [1, 1]


@pytest.mark.parametrize("request_", [SPREAD, HEADLESS], ids=["two bundles", "empty head"])
def test_a_group_with_room_for_tasks_of_the_trial_is_released_with_it(cluster, request_):
    cluster.end(cluster.begin(request_))
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_the_count_of_workers_includes_idle_and_requested_ones(cluster):
    first, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(ONE)
    assert cluster.groups.counts() == (2, 0, 2, 2, 2, None)  # at most two groups, so no third is requested
    cluster.end(first)
    assert cluster.groups.counts().busy == 1


def test_trials_with_fresh_processes_share_none():
    cluster = Cluster(apart=True)
    cluster.end(cluster.begin(ONE))
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_a_killed_process_is_not_reused(cluster):
    lease = cluster.begin(ONE)
    cluster.groups.kill(lease)
    cluster.end(lease)
    assert cluster.ray.placed == []


def test_a_process_that_a_trial_leaves_unclean_is_not_reused(cluster, monkeypatch):
    lease = cluster.begin(ONE)
    monkeypatch.setattr(lease.lane, "is_clean", lambda: False)
    cluster.end(lease)
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_a_process_that_was_not_ready_when_its_trial_ended_is_not_reused(cluster, monkeypatch):
    lease = cluster.begin(ONE)
    monkeypatch.setattr(cluster.processes, "is_ready", lambda worker: False)
    cluster.end(lease)
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_a_process_that_died_idle_is_not_reused(cluster):
    lease = cluster.begin(ONE)
    cluster.end(lease)
    cluster.processes.running.remove(lease.worker)
    assert cluster.begin(ONE).worker is not lease.worker
    assert cluster.sizes == [1]


def test_an_idle_group_is_released_at_once_when_its_resources_are_needed(cluster):
    cluster.end(cluster.begin(ONE))
    assert cluster.begin(BOTH).worker in cluster.processes.running
    assert cluster.sizes == [2]


def test_the_longest_idle_group_is_released_when_there_would_be_too_many(cluster):
    first, second = cluster.begin(ONE), cluster.begin(HALF)
    cluster.end(second, first)
    cluster.begin(QUARTER)
    assert cluster.sizes == [0.25, 1]


def test_idle_groups_are_released_after_a_while_even_if_the_totals_suffice(cluster, monkeypatch):
    """Ray may still be unable to place a group: free resources may be fragmented or used by others."""
    cluster.end(cluster.begin(ONE))
    monkeypatch.setattr(cluster.ray, "has_resources_ready", lambda request: cluster.ray.placed == [])
    cluster.groups.request_resources(OTHER)
    cluster.clock.now = 0.4
    cluster.groups.grow()
    assert not cluster.groups.has_resources_ready(OTHER)
    cluster.clock.now = 0.5
    cluster.groups.grow()
    assert cluster.groups.has_resources_ready(OTHER)


def test_an_idle_group_is_kept_when_releasing_it_does_not_help():
    cluster = Cluster(most=3)
    running, ended = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(BOTH)
    cluster.clock.now = 1.0
    cluster.end(ended)
    cluster.groups.grow()
    assert cluster.sizes == [1, 1]
    cluster.end(running)
    cluster.clock.now = 1.5
    cluster.groups.grow()
    assert cluster.groups.has_resources_ready(BOTH)


def test_a_matching_process_goes_to_a_later_trial_at_first():
    cluster = Cluster(most=4)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(OTHER)
    cluster.groups.request_resources(ONE)
    cluster.end(lease)
    assert present(cluster.groups.acquire_resources(ONE)).worker is lease.worker
    assert cluster.ray.requested == [OTHER]


def test_after_a_long_wait_the_first_trial_precedes_a_matching_one():
    cluster = Cluster(most=4)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(OTHER)
    cluster.groups.request_resources(ONE)
    cluster.clock.now = 0.5
    cluster.end(lease)
    assert present(cluster.groups.acquire_resources(OTHER)).worker is not lease.worker
    assert not cluster.groups.has_resources_ready(ONE)


def test_a_trial_waits_briefly_for_a_matching_process_before_an_idle_one_is_ended(cluster):
    running, idle = cluster.begin(ONE), cluster.begin(OTHER)
    cluster.end(idle)
    cluster.groups.request_resources(ONE)
    assert (cluster.sizes, cluster.ray.requested) == ([1, 1], [])
    cluster.end(running)
    assert cluster.groups.acquire_resources(ONE).worker is running.worker
    assert cluster.begin(OTHER).worker is idle.worker


def test_a_trial_gets_the_resources_of_an_idle_process_while_matching_ones_are_busy(cluster):
    running, idle = cluster.begin(ONE), cluster.begin(OTHER)
    cluster.end(idle)
    cluster.groups.request_resources(ONE)
    cluster.clock.now = 0.5
    cluster.groups.grow()
    assert cluster.groups.acquire_resources(ONE).worker is not running.worker
    assert [group.resource_request for group in cluster.ray.placed] == [ONE, ONE]


def test_a_request_withdrawn_in_time_never_reaches_ray(cluster):
    _, idle = cluster.begin(ONE), cluster.begin(OTHER)
    cluster.end(idle)
    cluster.groups.request_resources(ONE)
    cluster.groups.cancel_resource_request(ONE)
    cluster.clock.now = 0.5
    cluster.groups.grow()
    assert (cluster.sizes, cluster.ray.requested) == ([1, 1], [])


def test_no_more_groups_are_requested_than_allowed():
    """A trial that lost its process asks again, perhaps after a new trial has requested its place."""
    cluster = Cluster(most=1)
    cluster.groups.request_resources(ONE)
    cluster.groups.request_resources(OTHER)
    lease = cluster.groups.acquire_resources(ONE)
    cluster.clock.now = 0.5
    cluster.groups.grow()
    assert not cluster.groups.has_resources_ready(OTHER)
    cluster.end(lease)
    cluster.groups.grow()
    assert cluster.groups.has_resources_ready(OTHER)
    assert cluster.sizes == []


def test_a_trial_that_has_waited_long_takes_over_a_matching_process():
    cluster = Cluster(most=4)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(ONE)
    cluster.clock.now = 0.5
    cluster.end(lease)
    assert present(cluster.groups.acquire_resources(ONE)).worker is lease.worker


def test_waiting_time_includes_the_time_behind_other_trials():
    cluster = Cluster(most=5)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    for request in (ONE, OTHER, ONE):
        cluster.groups.request_resources(request)
    cluster.clock.now = 0.4
    cluster.end(lease)
    again = cluster.groups.acquire_resources(ONE)
    present(again).open({})
    cluster.clock.now = 0.6
    cluster.end(again)
    assert present(cluster.groups.acquire_resources(OTHER)).worker is not lease.worker
    assert not cluster.groups.has_resources_ready(ONE)


def test_a_trial_that_was_held_back_asks_before_a_newer_one():
    cluster = Cluster(most=5)
    leases = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(BOTH)
    cluster.groups.request_resources(OTHER)
    cluster.clock.now = 1.0
    cluster.end(leases[0])
    cluster.groups.grow()
    assert cluster.ray.requested == [BOTH]
    cluster.end(leases[1])
    assert cluster.groups.acquire_resources(BOTH) is not None
    assert cluster.ray.requested == [OTHER]


def test_one_group_at_a_time_is_released_for_a_waiting_trial():
    cluster = Cluster(most=3)
    leases = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(OTHER)
    cluster.clock.now = 0.5
    cluster.end(*leases)
    cluster.groups.grow()
    assert cluster.sizes == [1]


def test_a_free_group_is_released_only_if_ray_needs_its_resources():
    cluster = Cluster(most=4)
    _, other, idle = cluster.begin(ONE), cluster.begin(HALF), cluster.begin(QUARTER)
    cluster.end(idle)
    cluster.groups.request_resources(ONE)
    cluster.clock.now = 0.5
    cluster.end(other)
    assert cluster.sizes == [0.25, 0.5, 1]
    cluster.groups.grow()
    assert cluster.sizes == [1]
    assert cluster.groups.has_resources_ready(ONE)


def test_a_withdrawn_request_leaves_the_process_to_other_trials(cluster):
    lease = cluster.begin(ONE)
    cluster.end(lease)
    cluster.groups.request_resources(ONE)
    cluster.groups.cancel_resource_request(ONE)
    assert not cluster.groups.has_resources_ready(ONE)
    assert cluster.begin(ONE).worker is lease.worker


def test_a_request_withdrawn_while_waiting_is_cancelled_at_ray(cluster):
    cluster.begin(BOTH)
    cluster.groups.request_resources(ONE)
    cluster.groups.cancel_resource_request(ONE)
    assert cluster.ray.requested == []


def test_only_running_trials_hold_gpus_and_slots(cluster):
    leases = cluster.begin(HALF), cluster.begin(HALF)
    assert (cluster.groups.gpus, cluster.groups.free) == (1.0, 0)
    cluster.end(leases[0])
    assert (cluster.groups.gpus, cluster.groups.free) == (0.5, 1)


def test_no_group_and_no_process_is_left_at_the_end(cluster):
    cluster.end(cluster.begin(ONE))
    cluster.begin(OTHER)
    cluster.groups.clear()
    assert (cluster.ray.placed, cluster.processes.running, cluster.groups.gpus) == ([], [], 0.0)


def test_groups_are_not_removed_when_ray_is_gone():
    """Ray would block the process for a minute, and then end it."""
    for is_up in (True, False):
        cluster = Cluster()
        cluster.begin(ONE)
        cluster.ray.is_up = is_up
        cluster.groups.clear()
        assert (cluster.sizes == []) == is_up
        assert cluster.processes.running == []
