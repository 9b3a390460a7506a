import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from rrl_batch.errors import UserError
from rrl_batch.models.kernel_expansion import KernelExpansion

N_SHAPE, N_POINTS = 5, 40


def expansion(kernel="rbf", seed=0):
    rng = np.random.default_rng(seed)
    return KernelExpansion(
        kernel,
        -1.5,
        rng.normal(0.0, 3.0, N_SHAPE),
        rng.uniform(0.1, 9.0, N_SHAPE),
        rng.normal(0.0, 1.0, (N_POINTS, N_SHAPE)),
        rng.normal(0.0, 1.0, N_POINTS),
    )


def stars(regressor, n_stars, seed=1):
    rng = np.random.default_rng(seed)
    return regressor.centre + regressor.scale * rng.normal(0.0, 1.0, (n_stars, N_SHAPE))


def test_it_is_the_sum_of_kernels_at_its_points():
    linear, rbf = expansion("linear"), expansion("rbf")
    inputs = stars(rbf, 700)
    scaled = (inputs - rbf.centre) / rbf.scale
    kernels = np.exp(-0.5 * cdist(scaled, rbf.points, "sqeuclidean"))
    np.testing.assert_allclose(rbf.predict(inputs), kernels @ rbf.coefficients - 1.5, atol=1e-12)
    products = scaled @ (linear.points.T @ linear.coefficients)
    np.testing.assert_allclose(linear.predict(inputs), products - 1.5, atol=1e-12)


def test_points_far_from_zero_keep_their_digits():
    far = expansion()
    moved = KernelExpansion(
        "rbf", -1.5, far.centre, far.scale, far.points + 1e3, far.coefficients
    )  # fmt: skip
    inputs = stars(far, 50)
    predicted = moved.predict(inputs + 1e3 * far.scale)
    np.testing.assert_allclose(predicted, far.predict(inputs), atol=1e-7)
    assert far.predict(far.centre[None] + 1e9) == -1.5


@given(st.integers(0, 600), st.data())
def test_a_star_does_not_depend_on_those_beside_it(n_stars, data):
    regressor = expansion()
    inputs = stars(regressor, n_stars)
    cuts = sorted(data.draw(st.lists(st.integers(0, n_stars), max_size=3)))
    parts = [regressor.predict(part) for part in np.split(inputs, cuts)]
    np.testing.assert_allclose(np.concatenate(parts), regressor.predict(inputs), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_a_nan_spoils_its_own_star_only(kernel):
    regressor = expansion(kernel)
    inputs = stars(regressor, 30)
    clean = regressor.predict(inputs)
    inputs[[3, 29], 2] = np.nan
    predicted = regressor.predict(inputs)
    assert np.flatnonzero(np.isnan(predicted)).tolist() == [3, 29]
    others = np.delete(np.arange(30), [3, 29])
    assert np.array_equal(predicted[others], clean[others])


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_it_comes_back_from_its_file_to_the_last_bit(kernel, tmp_path):
    regressor = expansion(kernel)
    digest = regressor.write(tmp_path / "member.npz")
    again = KernelExpansion.read(tmp_path / "member.npz", N_SHAPE)
    inputs = stars(regressor, 20)
    assert np.array_equal(again.predict(inputs), regressor.predict(inputs))
    assert again.write(tmp_path / "again.npz") == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.npz", "member.npz"]


@pytest.fixture
def path(tmp_path):
    expansion().write(tmp_path / "member.npz")
    return tmp_path / "member.npz"


def refuses(path, n_shape=N_SHAPE):
    with pytest.raises(UserError, match=r"member\.npz does not hold a regressor .*train again\.$"):
        KernelExpansion.read(path, n_shape)
    return True


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert refuses(path)


def test_a_file_that_is_none_is_refused(path):
    assert refuses(path, N_SHAPE + 1)
    path.write_text("weights")
    assert refuses(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kernel.npy", "rbf")
    assert refuses(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert refuses(path)
    path.unlink()
    assert refuses(path)


OTHERS = {
    "another kernel": {"kernel": "cubic"},
    "single precision": {"coefficients": np.zeros(N_POINTS, np.float32)},
    "text": {"centre": np.array(["a"] * N_SHAPE)},
    "objects, which would be executed": {"centre": np.array([{}] * N_SHAPE)},
    "not finite": {"coefficients": np.full(N_POINTS, np.nan)},
    "a number": {"points": 1.0},
    "one coefficient less": {"coefficients": np.zeros(N_POINTS - 1)},
    "one array more": {"more": np.zeros(3)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_arrays_of_another_kind_are_refused(name, path):
    with path.open("wb") as file:
        np.savez(file, **vars(expansion()) | OTHERS[name])
    assert refuses(path)


def test_an_array_that_is_missing_is_refused(path):
    arrays = vars(expansion()).copy()
    del arrays["centre"]
    with path.open("wb") as file:
        np.savez(file, **arrays)
    assert refuses(path)
