"""The sampler of ``bayes`` passes Optuna's own tests of samplers."""

from functools import partial

import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from tuner.searchers.bayes_sampler import BayesSampler


class TestBayesSampler(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=["gp", "rf"])
    def sampler(self, request):
        return partial(BayesSampler, surrogate=request.param, initial=1, seed=0)
