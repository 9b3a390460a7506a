"""Distance to the training stars: the fifth-nearest, in units of what they have themselves."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from rrl_batch.errors import UserError
from rrl_batch.lightcurve.shape import N_SHAPE
from rrl_batch.models import domain
from rrl_batch.models.domain import _COLUMNS, NEIGHBOUR, QUANTILE, TrainingDomain


def stars(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, N_SHAPE)) * rng.uniform(0.01, 3, N_SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def known():
    return TrainingDomain.of(stars())


def test_distances_are_those_to_the_fifth_nearest_star(known):
    training = stars()[:, _COLUMNS].astype(np.float64)
    others = stars(50, 1)
    standardised = [(s - training.mean(axis=0)) / training.std(axis=0)
                    for s in (training, others[:, _COLUMNS])]  # fmt: skip
    expected = cKDTree(standardised[0]).query(standardised[1], k=[NEIGHBOUR])[0][:, 0]
    np.testing.assert_allclose(known.distance(others) * known.limit, expected, rtol=1e-9)


def test_a_training_star_is_not_its_own_neighbour_and_few_of_them_are_outside(known):
    distance = known.distance(stars())
    assert (distance > 0).all()
    assert np.mean(distance > 1) == pytest.approx(1 - QUANTILE, abs=0.003)


def test_a_strange_star_is_outside_and_one_without_shape_has_no_distance(known):
    odd = stars(2, 3)
    odd[0] = stars().mean(axis=0)
    odd[1] = odd[0] + 6 * stars().std(axis=0)
    inside, outside = known.distance(odd)
    assert inside < 1 < outside
    odd[0, _COLUMNS[2]] = np.nan
    assert np.isnan(known.distance(odd)).tolist() == [True, False]
    assert known.distance(odd[:0]).shape == (0,)


def test_shape_parameters_that_do_not_count_make_no_difference(known):
    some, others = stars(5, 4), stars(5, 4)
    others[:, [i for i in range(N_SHAPE) if i not in _COLUMNS]] = 1e6
    assert np.array_equal(known.distance(some), known.distance(others))


def test_a_star_has_the_same_distance_whatever_is_beside_it(known):
    some = stars(33, 5)
    alone = [known.distance(star[None])[0] for star in some]
    assert np.array_equal(known.distance(some), alone)


def test_of_many_training_stars_some_are_kept(monkeypatch):
    monkeypatch.setattr(domain, "MAX_POINTS", 100)
    known = TrainingDomain.of(stars())
    assert known.points.shape == (len(_COLUMNS), 100)
    assert np.mean(known.distance(stars()) > 1) == pytest.approx(1 - QUANTILE, abs=0.003)


@pytest.mark.parametrize("n", [2, 3])
def test_few_training_stars_have_a_distance_too(n):
    known = TrainingDomain.of(stars(n))
    assert np.isfinite(known.distance(stars(10, 1))).all()


def test_training_stars_that_are_all_alike_leave_every_other_outside():
    known = TrainingDomain.of(np.ones((6, N_SHAPE)))
    assert (known.distance(stars(10, 1)) > 1).all()


def test_a_domain_that_is_read_is_the_one_that_was_written(known, tmp_path):
    digest = known.write(tmp_path / "domain.npz")
    again = TrainingDomain.read(tmp_path / "domain.npz")
    assert np.array_equal(again.distance(stars(20, 2)), known.distance(stars(20, 2)))
    assert again.write(tmp_path / "again.npz") == digest


@pytest.mark.parametrize(
    "changed",
    [
        {"points": np.zeros((11, 1))},
        {"points": np.zeros((10, 8))},
        {"points": np.full((11, 8), np.nan)},
        {"scale": np.zeros(11)},
        {"limit": np.array(0.0)},
        {"limit": np.array(1)},
        {"more": np.zeros(1)},
    ],
)
def test_arrays_that_are_no_domain_are_a_sentence(changed, known, tmp_path):
    np.savez(tmp_path / "domain.npz", **vars(known) | changed)
    with pytest.raises(
        UserError, match=r"does not hold the training stars of a model .*train again"
    ):
        TrainingDomain.read(tmp_path / "domain.npz")
