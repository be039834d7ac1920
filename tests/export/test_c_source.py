"""A network as C: strictly compiled, it gives what the network gives, whatever its layers."""

import numpy as np
import pytest
from c_programs import COMPILERS, compiled, needs_a_compiler, predictions, program, run

from handgrad.errors import ExportError
from handgrad.export.c_source import write_c
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)

pytestmark = needs_a_compiler

SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")

ACTIVATIONS = (ReLU(), LeakyReLU(0.1), Sigmoid(), Tanh(), GELU(), GELU(approximate=True), SiLU())


def a_network(rng, dtype):
    """Draw a network that has a bit of everything, in any order, whose statistics have moved."""

    def between():
        extra = [*ACTIVATIONS, BatchNorm(), LayerNorm(), Dropout(0.7)]
        return [extra[i] for i in rng.integers(0, len(extra), int(rng.integers(0, 4)))]

    net, shape = between(), (int(rng.integers(1, 4)), *(int(n) for n in rng.integers(6, 12, 2)))
    if rng.random() < 0.7:
        side = min(shape[1:])
        for _ in range(int(rng.integers(1, 4))):
            size, padding, stride = (int(rng.integers(*ends)) for ends in ((1, 4), (0, 2), (1, 3)))
            if side + 2 * padding < size:
                break
            side = 1 + (side + 2 * padding - size) // stride
            bias = bool(rng.random() < 0.5)
            net += [Conv(int(rng.choice([1, 3, 8, 17, 20])), size, stride, padding, bias)]
            net += between()
            if side >= 2 and rng.random() < 0.6:
                pool = (MaxPool, AvgPool)[rng.integers(2)](2, int(rng.integers(1, 3)))
                net.append(pool)
                side = 1 + (side - 2) // pool._param["stride"]
        net += [GlobalAvgPool() if rng.random() < 0.3 else Flatten(), *between()]
    else:
        shape = (int(rng.integers(1, 30)),)
    if rng.random() < 0.8:
        net += [Dense(int(rng.integers(2, 30))), *between(), Dense(int(rng.integers(2, 9)))]
        net += between() if rng.random() < 0.3 else []
    elif len(shape) == 3 and Flatten() not in net and GlobalAvgPool() not in net:
        net.append(Flatten())
    if not net:
        net = [ReLU()]
    network = Network(net, shape, loss="mse", dtype=dtype, rng=rng)
    X = rng.standard_normal((40, *shape)).astype(np.float32)
    for name in network.state:  # as after a training, not the zeros of the start
        moved = rng.uniform(0.5, 2, network.state[name].shape)
        network.state[name] = moved.astype(network.dtype)
    for name in network.params:
        if name[0] in "bg":
            off = rng.normal(0, 0.3, network.params[name].shape)
            network.params[name] = (network.params[name] + off).astype(network.dtype)
    return network, X


def scores(network, X):
    return network.loss(X).reshape(len(X), -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(25))
def test_random_networks_are_equal(seed, dtype, tmp_path):
    """To 1e-5 of the largest score, about a hundred roundings of float32."""
    network, X = a_network(np.random.default_rng(seed), dtype)
    made = write_c(network, tmp_path / "net.c")
    wanted = scores(network, X)
    if seed % 5 == 0:
        runs = program(made.path, X[0].size, wanted.shape[1], *SANITIZED)
        got = run(runs, X, wanted.shape[1])
    else:
        got = predictions(compiled(made.path, "-O1"), X, wanted.shape[1])
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("flags", [("-O3",), ("-O2", "-march=native"), ("-O2", "-DPLAIN_C")])
def test_a_convolutions_tiles(flags, tmp_path):
    """Filters and widths that tiles divide or do not, by vectors of each width, and without."""
    rng = np.random.default_rng(0)
    sizes = [(8, 3, 1), (9, 1, 2), (16, 5, 1), (24, 3, 2), (31, 2, 1), (32, 3, 1), (40, 3, 3)]
    for place, (filters, size, stride) in enumerate(sizes):
        shape = (3, size + 1, int(rng.integers(size, 20)))
        layers = [Conv(filters, size, stride, bias=True), LeakyReLU(0.1), Flatten()]
        network = Network(layers, shape, loss="mse", dtype=np.float32, rng=rng)
        X = rng.standard_normal((5, *shape)).astype(np.float32)
        wanted = scores(network, X)
        made = write_c(network, tmp_path / f"net{place}.c")
        got = predictions(compiled(made.path, *flags), X, wanted.shape[1])
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_in_int8_are_near(seed, tmp_path):
    """Within a fifth of the scores' range (deep random nets add up the roundings of 7 bits)."""
    network, X = a_network(np.random.default_rng(seed), np.float32)
    made = write_c(network, tmp_path / "net.c", int8=True, calibration=X)
    wanted = scores(network, X)
    runs = program(made.path, X[0].size, wanted.shape[1], *SANITIZED)
    got = run(runs, X, wanted.shape[1])
    assert np.abs(got - wanted).max() < 0.2 * max(np.ptp(wanted), np.abs(wanted).max())
    assert made.ram <= write_c(network, tmp_path / "float.c").ram


@pytest.mark.parametrize("compiler", COMPILERS)
def test_each_compiler_takes_it_strictly(compiler, tmp_path):
    network, X = a_network(np.random.default_rng(3), np.float32)
    for precision in ("float", "int8"):
        made = write_c(
            network, tmp_path / f"{precision}.c", int8=precision == "int8", calibration=X
        )
        for level in ("-O0", "-O3"):
            compiled(made.path, level, "-Wshadow", "-Wundef", compiler=compiler)


def test_a_dense_network_by_hand(tmp_path):
    """X = (1, -2): hidden (1 - 4 + 1, 3 + 2) = (-2, 5), of ReLU (0, 5); score 2 * 5 - 3 = 7."""
    network = Network([Dense(2), ReLU(), Dense(1)], (2,), loss="logistic")
    network.params["W1"][:] = [[1, 3], [2, -1]]
    network.params["b1"][:] = [1, 0]
    network.params["W2"][:] = [[9], [2]]
    network.params["b2"][:] = -3
    library = compiled(write_c(network, tmp_path / "hand.c").path)
    assert predictions(library, np.array([[1, -2]]), 1).tolist() == [[7.0]]


def test_a_nan_comes_through_a_max_pool_wherever_it_stands(tmp_path):
    network = Network([MaxPool(2), Flatten()], (1, 2, 2), loss="mse")
    library = compiled(write_c(network, tmp_path / "pool.c").path)
    X = np.tile(np.array([1.0, 3.0, 2.0, 0.0]), (5, 1))
    X[range(4), range(4)] = np.nan
    assert np.isnan(predictions(library, X, 1)[:, 0]).tolist() == [True] * 4 + [False]


def test_infinity_has_the_limits(tmp_path):
    X = np.array([[-np.inf], [np.inf]])
    for layer in ACTIVATIONS:
        network = Network([layer], (1,), loss="mse")
        library = compiled(write_c(network, tmp_path / "limit.c", force=True).path)
        np.testing.assert_array_equal(predictions(library, X, 1)[:, 0], network.loss(X))


def test_the_buffer_holds_the_largest_pair(tmp_path):
    """8 x 8 x 6 x 6 filters' numbers, then 3 x 3 after the pool: (288 + 72) floats."""
    network = Network([Conv(8, 3), ReLU(), MaxPool(2), Flatten(), Dense(5)], (1, 8, 8))
    made = write_c(network, tmp_path / "net.c")
    assert made.ram == 4 * (8 * 6 * 6 + 8 * 3 * 3)
    assert made.flash == 4 * (8 * 9 + 8 + 72 * 5 + 5)
    assert f"RAM: {made.ram:,} bytes" in made.said
    assert f"{made.flash:,} bytes of constants" in made.path.read_text()


def test_two_models_in_one_program(tmp_path):
    one = Network([Dense(2)], (3,), rng=np.random.default_rng(0))
    files = [write_c(one, tmp_path / f"{p}.c", prefix=f"{p}_").path for p in ("one", "two")]
    for path in files:
        library = compiled(path)
        X = np.ones((1, 3))
        got = predictions(library, X, 2, f"{path.stem}_predict")
        np.testing.assert_allclose(got, one.loss(X), rtol=1e-6)


class Strange(ReLU):
    """A layer that C does not have."""


def test_bad_input_is_named(tmp_path):
    network = Network([Dense(2)], (3,))
    path = tmp_path / "net.c"
    with pytest.raises(ExportError, match=r"cannot write Strange \(layer 0\) as C"):
        write_c(Network([Strange(), Dense(2)], (3,)), path)
    with pytest.raises(ExportError, match="int8 needs calibration rows"):
        write_c(network, path, int8=True)
    with pytest.raises(ExportError, match="int8 needs calibration rows"):
        write_c(network, path, int8=True, calibration=np.zeros((0, 3)))
    with pytest.raises(ExportError, match=r"name ends in \.c; got net\.cpp"):
        write_c(network, tmp_path / "net.cpp")
    with pytest.raises(ExportError, match="prefix must be the beginning of a C name; got '1 x'"):
        write_c(network, path, prefix="1 x")
    with pytest.raises(ExportError, match=r"a Network, an estimator.*; got dict"):
        write_c({}, path)
    assert not list(tmp_path.iterdir())
    write_c(network, path)
    with pytest.raises(ExportError, match="exists, and is kept; --force"):
        write_c(network, path)
    network.params["W1"][:] = 1e39
    with pytest.raises(ExportError, match="beyond float32"):
        write_c(network, path, force=True)
    network.params["W1"][0, 0] = np.nan
    with pytest.raises(ExportError, match="not finite"):
        write_c(network, path, force=True)
