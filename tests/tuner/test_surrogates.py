"""The Gaussian process against scikit-learn's, and the forest's variance against a calculation by hand."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from tuner.searchers._forest import Forest, over_trees
from tuner.searchers._gaussian_process import _LENGTH, _NOISE, _SIGNAL, GaussianProcess

LENGTHS, SIGNAL, NOISE = [0.3, 0.7, 2.0], 1.7, 0.01
PARAMETERS = np.log([*LENGTHS, SIGNAL, NOISE])
EACH = np.arange(3)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    columns = rng.uniform(size=(25, 3))
    return columns, np.sin(6 * columns[:, 0]) + columns[:, 1] ** 2, rng.uniform(size=(10, 3))


@pytest.fixture
def textbook(data):
    columns, values, _ = data
    kernel = ConstantKernel(SIGNAL) * Matern(LENGTHS, nu=2.5) + WhiteKernel(NOISE)
    return GaussianProcessRegressor(kernel, optimizer=None).fit(columns, values)


def test_the_posterior_equals_scikit_learn_s(data, textbook):
    columns, values, points = data
    mean, deviation = GaussianProcess(EACH).fixed(columns, values, PARAMETERS).predict(points)
    expected, with_noise = textbook.predict(points, return_std=True)
    assert mean == pytest.approx(expected)
    assert deviation == pytest.approx(np.sqrt(with_noise**2 - NOISE))


def test_the_likelihood_equals_scikit_learn_s(data, textbook):
    columns, values, _ = data
    flat = np.array([(parameter, 1.0) for parameter in PARAMETERS])  # uninformative priors
    loss, _ = GaussianProcess(EACH)._loss(PARAMETERS, columns, values, flat)
    assert loss == pytest.approx(
        -textbook.log_marginal_likelihood_value_ - len(values) / 2 * math.log(2 * math.pi)
    )


def test_the_gradient_of_the_loss_equals_finite_differences_also_with_shared_scales(data):
    columns, values, _ = data
    process = GaussianProcess(np.array([0, 1, 1]))
    priors = np.array([_LENGTH, _LENGTH, _SIGNAL, _NOISE])
    at = np.array([-0.5, 0.2, 0.3, -3.0])
    _, gradient = process._loss(at, columns, values, priors)
    differences = approx_fprime(at, lambda x: process._loss(x, columns, values, priors)[0], 1e-7)
    assert gradient == pytest.approx(differences, rel=1e-4, abs=1e-4)


def test_the_gradient_of_a_prediction_equals_finite_differences(data):
    columns, values, points = data
    process = GaussianProcess(EACH).fixed(columns, values, PARAMETERS)
    mean, deviation, mean_gradient, deviation_gradient = process.predict_with_gradient(points[0])
    assert [[mean], [deviation]] == pytest.approx(np.array(process.predict(points[:1])))
    for part, gradient in enumerate((mean_gradient, deviation_gradient)):
        differences = approx_fprime(points[0], lambda x, part=part: process.predict(x[None])[part][0], 1e-6)
        assert gradient == pytest.approx(differences, rel=1e-3, abs=1e-5)


def test_an_expected_result_keeps_the_mean_and_reduces_the_uncertainty(data):
    columns, values, points = data
    before = GaussianProcess(EACH).fixed(columns, values, PARAMETERS)
    after = before.expecting(points[:3])
    assert after.predict(points)[0] == pytest.approx(before.predict(points)[0], abs=1e-6)
    assert (after.predict(points[:3])[1] < 0.5 * before.predict(points[:3])[1]).all()


def test_a_dimension_without_influence_gets_a_long_scale():
    rng = np.random.default_rng(1)
    columns = rng.uniform(size=(40, 2))
    values = np.sin(6 * columns[:, 0])
    relevant, irrelevant = np.exp(GaussianProcess(np.arange(2)).fit(columns, values).parameters[:2])
    assert irrelevant > 5 * relevant


@pytest.mark.parametrize(
    ("signal", "noise", "low", "high"),
    [(1.0, 0.0, 0.0, 0.0), (1.0, 0.3, 0.15, 0.5), (0.0, 1.0, 0.7, 1.0)],
    ids=["a smooth function", "with noise", "noise alone"],
)
def test_the_fitted_noise_matches_the_true_noise(signal, noise, low, high):
    """The values are scaled to standard deviation 1."""
    rng = np.random.default_rng(2)
    columns = rng.uniform(size=(40, 2))
    values = signal * np.sin(6 * columns[:, 0]) + noise * rng.normal(size=40)
    process = GaussianProcess(np.arange(2)).fit(columns, (values - values.mean()) / values.std())
    assert low <= process.noise <= high


def test_the_variance_over_trees_adds_that_within_leaves_and_between_trees():
    """Means 1, 2, 6 have mean 3 and variance 14/3; the mean of the variances 0, 3, 0 is 1."""
    mean, variance = over_trees(np.array([[1.0], [2.0], [6.0]]), np.array([[0.0], [3.0], [0.0]]))
    assert mean.tolist() == [3.0]
    assert variance.tolist() == [pytest.approx(1 + 14 / 3)]


def test_the_forest_combines_means_and_variances_of_its_leaves():
    """Equal rows cannot be split, so each tree is a single leaf of bootstrapped values."""
    values = np.array([0.0, 0.0, 3.0, 3.0] * 10)
    forest = Forest().fit(np.zeros((40, 1)), values, seed=3)
    roots = [(tree.value[0, 0, 0], tree.impurity[0]) for tree in forest._trees]
    mean, deviation = forest.predict(np.zeros((1, 1)))
    means, variances = np.array(roots).T
    assert mean == pytest.approx([means.mean()])
    assert deviation**2 == pytest.approx([variances.mean() + means.var()])
    assert deviation == pytest.approx([1.5], abs=0.1)


def test_the_forest_distinguishes_an_inactive_number_from_active_ones():
    columns = np.array([[value] for value in [Forest.inactive] * 10 + [0.0] * 10 + [1.0] * 10])
    values = np.array([5.0] * 10 + [0.0] * 10 + [1.0] * 10)
    mean, _ = Forest().fit(columns, values, seed=0).predict(np.array([[Forest.inactive], [0.0], [1.0]]))
    assert mean == pytest.approx([5.0, 0.0, 1.0], abs=0.2)
