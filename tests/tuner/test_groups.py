"""Which placement groups are kept for a later trial and which are given back, on a cluster of two CPUs."""

import pytest
from ray.air.execution.resources import AcquiredResources, ResourceManager
from ray.tune import PlacementGroupFactory

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
    """Two CPUs and a GPU, given to whom they suffice for."""

    def __init__(self):
        self.asked, self.placed = [], []

    def request_resources(self, resource_request):
        self.asked.append(resource_request)

    def cancel_resource_request(self, resource_request):
        self.asked.remove(resource_request)

    def has_resources_ready(self, resource_request):
        taken = sum(group.resource_request.required_resources["CPU"] for group in self.placed)
        needed = resource_request.required_resources["CPU"]
        return resource_request in self.asked and taken + needed <= TOTAL["CPU"]

    def acquire_resources(self, resource_request):
        if not self.has_resources_ready(resource_request):
            return None
        self.asked.remove(resource_request)
        self.placed.append(Group(resource_request))
        return self.placed[-1]

    def free_resources(self, acquired_resource):
        self.placed = [group for group in self.placed if group is not acquired_resource]

    def clear(self):
        self.asked, self.placed = [], []


class Group(AcquiredResources):
    pass


class Processes:
    """They start, are ready and answer, until they are ended or die."""

    def __init__(self):
        self.running = []

    def start(self, group):
        self.running.append(WorkerHandle(actor=None))
        return self.running[-1]

    def is_ready(self, worker):
        return True  # whatever has become of it since

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
    """Placement groups and what they rest on."""

    def __init__(self, *, most=2, apart=False):
        self.ray, self.processes, self.clock = Ray(), Processes(), Clock()
        self.groups = PlacementGroups(
            self.processes, self.ray, most=most, apart=apart, total=lambda: TOTAL, clock=self.clock
        )

    def begin(self, request):
        """The lease of a trial that asks for this and need not wait for it."""
        self.groups.request_resources(request)
        assert self.groups.has_resources_ready(request)
        lease = self.groups.acquire_resources(request)
        lease.open({})
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


def test_next_trial_that_asks_for_the_same_has_the_same_process(cluster):
    first = cluster.begin(ONE)
    cluster.end(first)
    assert cluster.begin(PlacementGroupFactory([{"CPU": 1.0}])).worker is first.worker
    assert cluster.sizes == [1]


def test_trial_that_asks_for_something_else_has_another_process(cluster):
    first = cluster.begin(ONE)
    cluster.end(first)
    assert cluster.begin(OTHER).worker is not first.worker
    assert cluster.sizes == [1, 1]


@pytest.mark.parametrize("request_", [SPREAD, HEADLESS], ids=["two bundles", "empty head"])
def test_group_in_which_a_trial_can_start_more_goes_with_it(cluster, request_):
    cluster.end(cluster.begin(request_))
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_workers_are_counted_with_those_that_are_idle_or_awaited(cluster):
    first, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(ONE)
    assert cluster.groups.counts() == (2, 0, 2, 2, 2)  # two places at most, so a third is not asked for
    cluster.end(first)
    assert cluster.groups.counts().busy == 1


def test_trials_that_are_to_be_apart_share_no_process():
    cluster = Cluster(apart=True)
    cluster.end(cluster.begin(ONE))
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_process_that_was_killed_is_not_used_again(cluster):
    lease = cluster.begin(ONE)
    cluster.groups.kill(lease)
    cluster.end(lease)
    assert cluster.ray.placed == []


def test_process_that_a_trial_leaves_unclean_is_not_used_again(cluster, monkeypatch):
    lease = cluster.begin(ONE)
    monkeypatch.setattr(lease.lane, "is_clean", lambda: False)
    cluster.end(lease)
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_process_that_was_not_ready_when_its_trial_ended_is_not_used_again(cluster, monkeypatch):
    lease = cluster.begin(ONE)
    monkeypatch.setattr(cluster.processes, "is_ready", lambda worker: False)
    cluster.end(lease)
    assert (cluster.ray.placed, cluster.processes.running) == ([], [])


def test_process_that_has_died_without_a_trial_is_not_used_again(cluster):
    lease = cluster.begin(ONE)
    cluster.end(lease)
    cluster.processes.running.remove(lease.worker)
    assert cluster.begin(ONE).worker is not lease.worker
    assert cluster.sizes == [1]


def test_idle_group_is_given_back_at_once_where_its_room_is_needed(cluster):
    cluster.end(cluster.begin(ONE))
    assert cluster.begin(BOTH).worker in cluster.processes.running
    assert cluster.sizes == [2]


def test_longest_idle_group_is_given_back_where_there_would_be_too_many(cluster):
    first, second = cluster.begin(ONE), cluster.begin(HALF)
    cluster.end(second, first)
    cluster.begin(QUARTER)
    assert cluster.sizes == [0.25, 1]


def test_idle_groups_that_the_sums_leave_room_beside_are_given_back_after_a_while(cluster, monkeypatch):
    """Ray may have its reasons: the room is in pieces, or others have it."""
    cluster.end(cluster.begin(ONE))
    monkeypatch.setattr(cluster.ray, "has_resources_ready", lambda request: cluster.ray.placed == [])
    cluster.groups.request_resources(OTHER)
    cluster.clock.now = 0.4
    cluster.groups.grow()
    assert not cluster.groups.has_resources_ready(OTHER)
    cluster.clock.now = 0.5
    cluster.groups.grow()
    assert cluster.groups.has_resources_ready(OTHER)


def test_idle_group_stays_where_giving_it_back_is_no_help():
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


def test_trial_that_waits_for_the_same_comes_first_while_the_first_has_not_waited_long():
    cluster = Cluster(most=4)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(OTHER)
    cluster.groups.request_resources(ONE)
    cluster.end(lease)
    assert cluster.groups.acquire_resources(ONE).worker is lease.worker
    assert cluster.ray.asked == [OTHER]


def test_trial_that_has_waited_long_comes_before_one_that_waits_for_the_same():
    cluster = Cluster(most=4)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(OTHER)
    cluster.groups.request_resources(ONE)
    cluster.clock.now = 0.5
    cluster.end(lease)
    assert cluster.groups.acquire_resources(OTHER).worker is not lease.worker
    assert not cluster.groups.has_resources_ready(ONE)


def test_trial_waits_a_little_for_its_like_before_an_idle_process_goes_for_it(cluster):
    running, idle = cluster.begin(ONE), cluster.begin(OTHER)
    cluster.end(idle)
    cluster.groups.request_resources(ONE)
    assert (cluster.sizes, cluster.ray.asked) == ([1, 1], [])
    cluster.end(running)
    assert cluster.groups.acquire_resources(ONE).worker is running.worker
    assert cluster.begin(OTHER).worker is idle.worker


def test_trial_whose_like_runs_on_gets_the_room_of_an_idle_process(cluster):
    running, idle = cluster.begin(ONE), cluster.begin(OTHER)
    cluster.end(idle)
    cluster.groups.request_resources(ONE)
    cluster.clock.now = 0.5
    cluster.groups.grow()
    assert cluster.groups.acquire_resources(ONE).worker is not running.worker
    assert [group.resource_request for group in cluster.ray.placed] == [ONE, ONE]


def test_request_that_is_withdrawn_before_ray_is_asked_is_never_asked(cluster):
    _, idle = cluster.begin(ONE), cluster.begin(OTHER)
    cluster.end(idle)
    cluster.groups.request_resources(ONE)
    cluster.groups.cancel_resource_request(ONE)
    cluster.clock.now = 0.5
    cluster.groups.grow()
    assert (cluster.sizes, cluster.ray.asked) == ([1, 1], [])


def test_no_more_groups_are_asked_for_than_there_may_be():
    """A trial that has lost its process asks again, maybe after a new one has asked for its place."""
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


def test_trial_that_has_waited_long_takes_over_from_its_like():
    cluster = Cluster(most=4)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(ONE)
    cluster.clock.now = 0.5
    cluster.end(lease)
    assert cluster.groups.acquire_resources(ONE).worker is lease.worker


def test_wait_counts_from_when_a_trial_is_the_first_that_waits():
    cluster = Cluster(most=5)
    lease, _ = cluster.begin(ONE), cluster.begin(ONE)
    for request in (ONE, OTHER, ONE):
        cluster.groups.request_resources(request)
    cluster.clock.now = 0.4
    cluster.end(lease)
    again = cluster.groups.acquire_resources(ONE)
    again.open({})
    cluster.clock.now = 0.6
    cluster.end(again)
    assert cluster.groups.acquire_resources(ONE).worker is lease.worker


def test_one_group_at_a_time_is_given_back_for_a_trial_that_waits():
    cluster = Cluster(most=3)
    leases = cluster.begin(ONE), cluster.begin(ONE)
    cluster.groups.request_resources(OTHER)
    cluster.clock.now = 0.5
    cluster.end(*leases)
    cluster.groups.grow()
    assert cluster.sizes == [1]


def test_group_that_gets_free_is_given_back_only_if_ray_needs_its_room():
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


def test_request_that_is_withdrawn_leaves_the_process_to_others(cluster):
    lease = cluster.begin(ONE)
    cluster.end(lease)
    cluster.groups.request_resources(ONE)
    cluster.groups.cancel_resource_request(ONE)
    assert not cluster.groups.has_resources_ready(ONE)
    assert cluster.begin(ONE).worker is lease.worker


def test_request_that_is_withdrawn_while_it_waits_is_not_asked_of_ray_any_more(cluster):
    cluster.begin(BOTH)
    cluster.groups.request_resources(ONE)
    cluster.groups.cancel_resource_request(ONE)
    assert cluster.ray.asked == []


def test_only_trials_that_run_hold_gpus_and_places(cluster):
    leases = cluster.begin(HALF), cluster.begin(HALF)
    assert (cluster.groups.gpus, cluster.groups.free) == (1.0, 0)
    cluster.end(leases[0])
    assert (cluster.groups.gpus, cluster.groups.free) == (0.5, 1)


def test_nothing_is_left_in_the_end(cluster):
    cluster.end(cluster.begin(ONE))
    cluster.begin(OTHER)
    cluster.groups.clear()
    assert (cluster.ray.placed, cluster.processes.running, cluster.groups.gpus) == ([], [], 0.0)
