"""The libraries in the workers of a real Ray: shared by many trials, paused, killed and resumed."""

from __future__ import annotations

import pytest

from tests.integration.running import events, killed
from tests.integrations.sharing import PARTS, SPACES, alone, curves, sweep_of
from tuner import resume, run

# Some libraries take ten seconds to import, in every process that uses them.
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=SPACES)
def library(request):
    for name in (request.param, *PARTS.get(request.param, ())):
        pytest.importorskip(name)
    return request.param


@pytest.fixture(scope="module")
def shared(library, cluster, tmp_path_factory):
    """The report of 20 trials in one worker."""
    report = run(sweep_of(library, tmp_path_factory.mktemp(library)), progress=None)
    assert {trial.error for trial in report.trials} == {None}
    return report


def test_trials_of_one_worker_are_the_same_as_alone(library, shared):
    assert len({each.worker for each in events(shared, "started")}) == 1
    found = curves(shared)
    assert len(found) == 20
    assert [len(curve) for curve in found] == [shared.sweep["budget"]["iterations"]] * 20
    assert found == alone(library, shared)


@pytest.mark.parametrize(
    "library", [name for name in SPACES if name != "lightgbm"], indirect=True, scope="module"
)
def test_a_killed_sweep_with_pauses_continues_all_trials(library, shared, cluster, tmp_path):
    sweep = sweep_of(library, tmp_path, scheduler="asha", trials=9)
    report = resume(killed(sweep, "result", 12, cluster), progress=None)
    assert {trial.error for trial in report.trials} == {None}
    started = [each.trial for each in events(report, "started")]
    assert len(started) > len(set(started))  # some trial was paused and continued
    for mine, whole in zip(curves(report), curves(shared), strict=False):
        # Lightning rounds weights of 64 bits when it loads them.
        assert mine == pytest.approx(whole[: len(mine)], rel=1e-6)
    assert max(trial.iterations for trial in report.trials) == shared.sweep["budget"]["iterations"]
