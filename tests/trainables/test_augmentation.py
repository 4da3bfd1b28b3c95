"""Augmentation: the statistics of random draws, and images against NumPy and SciPy."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import optim
from torch.nn import functional

from tests.trainables.bare_loop import assert_same_training
from trainables.configs import CNNConfig, TrainingConfig
from trainables.layers import counter_random
from trainables.training import augmentation
from trainables.training.augmentation import Augmentation


def augmented(config, inputs, *, shape=None, seed=3, batch=0, epoch=0, batches=4):
    inputs = torch.as_tensor(inputs)
    rows = Augmentation(
        [config],
        seeds=[seed],
        epochs=[epoch],
        batches=batches,
        shape=shape or inputs.shape[1:],
        stacked=False,
        like=inputs,
    )
    return rows(inputs, batch).numpy(), rows


def images(rows, height, width, *, channels=1):
    return np.random.default_rng(0).normal(size=(rows, channels * height * width))


@pytest.fixture
def constant(monkeypatch):
    """Return a function that makes every uniform draw from [0, 1) equal to u."""

    def set_to(value):
        def drawn(key, shape, *, like):
            return like.new_full((*key.shape, *shape), value)

        monkeypatch.setattr(augmentation, "uniform", drawn)

    return set_to


def test_uniform_draws_are_uniform():
    """A p-value below 1e-4 occurs for one seed in ten thousand; this seed is fixed."""
    key = torch.tensor(12345, dtype=torch.int32)
    drawn = counter_random.uniform(key, (50_000,), like=torch.zeros((), dtype=torch.float64)).numpy()
    assert stats.kstest(drawn, "uniform").pvalue > 1e-4


def test_noise_is_normal_with_the_given_deviation():
    """A p-value below 1e-4 occurs for one seed in ten thousand; this seed is fixed."""
    drawn, _ = augmented(TrainingConfig(noise=0.3), np.zeros((500, 100)))
    assert stats.kstest(drawn.ravel() / 0.3, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(drawn[:250].ravel(), drawn[250:].ravel())[0, 1]) < 0.03


def test_noise_differs_between_batches_epochs_and_trials():
    config = TrainingConfig(noise=1.0)
    variants = [{}, {"batch": 1}, {"epoch": 1}, {"seed": 4}]
    drawn = [augmented(config, np.zeros((20, 5)), **variant)[0] for variant in variants]
    assert len({each.tobytes() for each in drawn}) == len(variants)
    assert (augmented(config, np.zeros((20, 5)))[0] == drawn[0]).all()


def test_a_mixed_row_is_a_weighted_mean_with_the_next_row():
    rows = images(6, 1, 4)
    mixed, augmentation = augmented(TrainingConfig(mixup=0.4), rows, batch=2)
    share = augmentation.share(2).item()
    assert 0 < share < 1
    np.testing.assert_allclose(mixed, share * rows + (1 - share) * np.roll(rows, -1, axis=0))


def test_mixing_weights_follow_a_beta_distribution():
    """A p-value below 1e-4 occurs for one seed in ten thousand; this seed is fixed."""
    _, augmentation = augmented(TrainingConfig(mixup=0.4), np.zeros((2, 2)), batches=3000)
    shares = [augmentation.share(batch).item() for batch in range(3000)]
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 1e-4


def test_training_mixes_losses_with_the_weights_of_the_rows(trial):
    learner = trial(
        precision="float64", optimizer="sgd", lr=0.05, mixup=0.4, **{"batch_size": 1000, "hidden": 8}
    )
    rows = len(learner.dataset.training)
    _, augmentation = augmented(TrainingConfig(mixup=0.4), np.zeros((rows, 2)), seed=0, batches=1)
    share = augmentation.share(0).item()
    network = learner._learner.network
    bare = SimpleNamespace()

    def loss(outputs, targets):  # of mixed rows, which the bare loop does not mix itself
        del outputs
        features = learner._learner.training[0][bare.rows]
        mixed = share * features + (1 - share) * features.roll(-1, 0)
        hot = functional.one_hot(targets, 3).double()
        soft = share * hot + (1 - share) * hot.roll(-1, 0)
        return functional.cross_entropy(bare.network(mixed), soft)

    generator = torch.Generator()
    generator.set_state(learner._learner.streams.order.get_state())
    bare.rows = torch.randperm(rows, generator=generator)

    def sgd(parameters):
        parameters = list(parameters)

        def apply(inputs):
            first, bias, second, last = parameters
            return functional.linear(functional.linear(inputs, first, bias).relu(), second, last)

        bare.network = apply
        return optim.SGD(parameters, lr=0.05)

    assert len(network) == 3
    assert_same_training(learner, sgd, epochs=1, loss=loss)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("drawn", "pixels"), [(0.0, -2), (0.999, 2), (0.5, 0)])
def test_a_shift_moves_images_by_whole_pixels(constant, drawn, pixels, channels):
    constant(drawn)
    pictures = images(4, 6, 9, channels=channels)
    shape = (channels, 6, 9) if channels > 1 else (6, 9)
    shifted, _ = augmented(CNNConfig(shift=2), pictures, shape=shape)
    own = pictures.reshape(4, channels, 6, 9)
    expected = ndimage.shift(own, (0, 0, pixels, pixels), order=0, cval=0.0)
    np.testing.assert_allclose(shifted.reshape(own.shape), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (6, 9)], ids=str)
@pytest.mark.parametrize(("drawn", "degrees"), [(0.0, -25), (0.75, 12.5)])
def test_rotation_matches_scipy(constant, shape, drawn, degrees):
    constant(drawn)
    pictures = images(3, *shape)
    turned, _ = augmented(CNNConfig(rotation=25.0), pictures, shape=shape)
    expected = [
        ndimage.rotate(picture, degrees, reshape=False, order=1, mode="grid-constant")
        for picture in pictures.reshape(3, *shape)
    ]
    np.testing.assert_allclose(turned.reshape(3, *shape), expected, atol=1e-12)


def test_a_flip_mirrors_left_and_right(constant):
    constant(0.4)
    pictures = images(3, 4, 5)
    mirrored, _ = augmented(CNNConfig(flip=0.5), pictures, shape=(4, 5))
    np.testing.assert_allclose(mirrored.reshape(3, 4, 5), pictures.reshape(3, 4, 5)[:, :, ::-1], atol=1e-12)
    kept, _ = augmented(CNNConfig(flip=0.3), pictures, shape=(4, 5))
    np.testing.assert_allclose(kept, pictures, atol=1e-12)


@pytest.mark.parametrize("flip", [0.1, 0.7])
def test_the_share_of_flipped_images_equals_the_probability(flip):
    """4,000 images, five standard deviations: odds of 1 in two million."""
    pictures = np.tile(np.arange(4.0), (4000, 1))
    mirrored, _ = augmented(CNNConfig(flip=flip), pictures, shape=(1, 4))
    assert abs((mirrored[:, 0] > 1).mean() - flip) < 5 * np.sqrt(flip * (1 - flip) / 4000)


def test_shifts_are_uniform_and_independent_along_both_axes():
    """A p-value below 1e-4 occurs for one seed in ten thousand; this seed is fixed."""
    pictures = np.zeros((4500, 7, 7))
    pictures[:, 3, 3] = 1
    shifted, _ = augmented(CNNConfig(shift=1), pictures.reshape(4500, 49), shape=(7, 7))
    counts = np.round(shifted).reshape(4500, 7, 7).sum(axis=0)[2:5, 2:5]
    assert counts.sum() == 4500
    assert stats.chisquare(counts.ravel()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("drawn", "rows", "columns"), [(0.5, (2, 5), (3, 6)), (0.0, (0, 2), (0, 2)), (0.99, (4, 6), (7, 9))]
)
def test_cutout_blanks_a_square_that_may_cross_the_edge(constant, drawn, rows, columns):
    constant(drawn)
    pictures = images(2, 6, 9)
    cut, _ = augmented(CNNConfig(cutout=3), pictures, shape=(6, 9))
    expected = pictures.reshape(2, 6, 9).copy()
    expected[:, slice(*rows), slice(*columns)] = 0
    np.testing.assert_array_equal(cut.reshape(2, 6, 9), expected)


def test_validation_rows_are_not_augmented(trial):
    plain, noisy = trial(lr=1e-12), trial(lr=1e-12, noise=5.0, mixup=1.0)
    assert plain.train()["val_loss"] == pytest.approx(noisy.train()["val_loss"], rel=1e-5)
