"""The classifier that keeps ``bayes`` away from failing configurations."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from tuner.searchers._feasibility import _LENGTH, _SIGNAL, Feasibility

GROUPS = np.array([0, 1, 1])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    columns = rng.uniform(size=(60, 3))
    return columns, columns[:, 0] + columns[:, 1] < 1.2, rng.uniform(size=(2000, 3))


def test_the_gradient_of_the_loss_equals_finite_differences(data):
    columns, succeeded, _ = data
    model = Feasibility(GROUPS).fit(columns, succeeded)
    priors = np.array([_LENGTH, _LENGTH, _SIGNAL])
    signs = np.where(succeeded, 1.0, -1.0)
    at = np.array([-0.5, 0.2, 1.5])
    _, gradient = model._loss(at, columns, signs, priors)
    differences = approx_fprime(at, lambda x: model._loss(x, columns, signs, priors)[0], 1e-5)
    assert gradient == pytest.approx(differences, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("what", ["log_probability", "penalty"])
def test_the_gradient_of_a_prediction_equals_finite_differences(data, what):
    columns, succeeded, points = data
    model = Feasibility(GROUPS).fit(columns, succeeded)
    for point in points[:20]:
        value, gradient = getattr(model, f"{what}_with_gradient")(point)
        assert value == pytest.approx(getattr(model, what)(point[None])[0])
        differences = approx_fprime(point, lambda x: getattr(model, what)(x[None])[0], 1e-7)
        assert gradient == pytest.approx(differences, rel=1e-3, abs=1e-3)


def test_the_classifier_divides_the_space_as_scikit_learn_s_does(data):
    """Scikit-learn uses a logit link and no mean, so probabilities differ slightly.

    The predicted class hardly ever differs.
    """
    columns, succeeded, points = data
    model = Feasibility(np.arange(3)).fit(columns, succeeded)
    kernel = ConstantKernel(model._signal) * Matern(np.exp(model.parameters[:3]), nu=2.5)
    theirs = GaussianProcessClassifier(kernel, optimizer=None).fit(columns, succeeded)
    agree = (model.log_probability(points) > math.log(0.5)) == theirs.predict(points)
    assert agree.mean() > 0.97


@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_far_from_all_trials_the_prediction_is_the_observed_success_rate(share):
    rng = np.random.default_rng(0)
    columns = 0.05 * rng.uniform(size=(100, 8))
    succeeded = np.arange(100) < 100 * share
    far = np.exp(Feasibility(np.arange(8)).fit(columns, succeeded).log_probability(np.full((1, 8), 50.0)))
    assert far == pytest.approx([share], abs=0.1)


def test_predicted_success_rates_do_not_exceed_the_observed_ones(data):
    columns, succeeded, points = data
    model = Feasibility(np.arange(3)).fit(columns, succeeded)
    found = np.exp(model.log_probability(points))
    truly = points[:, 0] + points[:, 1] < 1.2
    for low in (0.6, 0.7, 0.8, 0.9):
        inside = (found >= low) & (found < low + 0.1)
        assert truly[inside].mean() >= low - 0.05


@pytest.mark.parametrize(("failed", "least"), [(0.1, 0.7), (0.25, 0.7), (0.3, 0.85), (0.5, 0.95)])
def test_the_required_probability_rises_with_the_number_of_failures(failed, least):
    columns = np.random.default_rng(0).uniform(size=(100, 2))
    model = Feasibility(np.arange(2)).fit(columns, np.arange(100) >= 100 * failed)
    assert model.required == pytest.approx(least)
