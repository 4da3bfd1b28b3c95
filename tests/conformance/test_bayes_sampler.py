"""The sampler under ``bayes`` passes Optuna's own tests of samplers."""

from functools import partial

import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from tuner.searchers._bayes_sampler import BayesSampler


class TestBayesSampler(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=[(s, n) for s in ("gp", "rf") for n in (1, 10)], ids=lambda p: f"{p[0]}-{p[1]}")
    def sampler(self, request):
        surrogate, initial = request.param
        return partial(BayesSampler, surrogate=surrogate, initial=initial, seed=0)
