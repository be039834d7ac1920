"""Kernels called from several Python threads: the bits of one alone, and the user's settings."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kernel_engines import each_engine as each_engine
from threadpoolctl import threadpool_limits

from handgrad import optim
from handgrad.cnn import ConvNet
from handgrad.engine import kernels
from handgrad.engine.kernels import parts
from handgrad.engine.kernels.parts import blas_on_one_thread, blas_threads
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.softmax import SoftmaxClassifier
from handgrad.solver import Solver

# trainings ------------------------------------------------------------------------------------


def dense(rng):
    """Many steps in one call; the products are worth two parts."""
    return SoftmaxClassifier(hidden_dim=150, weight_scale="he", reg=1e-3, dtype=np.float32, rng=rng)


def deep(rng):
    """Layer by layer."""
    net = [Dense(130), BatchNorm(), ReLU(), Dropout(0.8), Dense(10)]
    return Network(net, (784,), weight_scale="he", reg=1e-3, dtype=np.float32, rng=rng)


def convolutional(rng):
    return ConvNet(
        num_filters=8, filter_size=5, hidden_dim=100, blocks=2, batchnorm=["conv", "dense"],
        dropout=0.5, reg=1e-3, weight_scale="he", rng=rng,
    )  # fmt: skip


def train(make, rule):
    """Give all that a training ends with, as bytes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 784), dtype=np.float32)
    y = rng.integers(0, 10, 200)
    model = make(np.random.default_rng(1))
    X = X.reshape(-1, 1, 28, 28) if make is convolutional else X
    data = {"X_train": X, "y_train": y, "X_val": X[:50], "y_val": y[:50]}
    solver = Solver(
        model, data, rule, {"learning_rate": 1e-3}, num_epochs=2, verbose=False, rng=rng
    )  # fmt: skip
    solver.train()
    arrays = [*model.params.values(), *model.state.values(), np.array(solver.loss_history)]
    return b"".join(array.tobytes() for array in arrays)


TRAININGS = [(dense, "adam"), (deep, "sgd_momentum"), (convolutional, "adamw"), (dense, "sgd")]


@pytest.mark.parametrize("threads", [2, 3])
def test_trainings_in_threads_end_where_each_ends_alone(each_engine, threads):
    with threadpool_limits(threads, user_api="blas"):
        alone = [train(*training) for training in TRAININGS]
        with ThreadPoolExecutor(len(TRAININGS)) as pool:
            for _ in range(2):
                at_once = [pool.submit(train, *training) for training in TRAININGS]
                assert [result.result() for result in at_once] == alone
        assert blas_threads() == threads
        assert [get() for get, _ in parts._dials()] == [threads] * len(parts._dials())


def test_a_caller_without_numbas_threads_gets_the_same_bits(each_engine):
    """Who comes second does its parts one after the other."""
    if each_engine.__name__.endswith("numpy"):
        pytest.skip("plain NumPy has no pool of Numba's")
    from handgrad.engine.kernels import calls

    with threadpool_limits(2, user_api="blas"):
        together = [train(*training) for training in TRAININGS]
        with calls._lock:
            assert [train(*training) for training in TRAININGS] == together


def by_sums_of_squares(rng):
    """BLAS adds up long vectors in other parts on more threads."""
    w, dw = rng.standard_normal((2, 300_000))
    squares = kernels.add_l2(dw, w, 1e-3)
    return [np.array(squares), dw, optim.clipped({"w": w}, 1.0)["w"]]


def test_bits_do_not_depend_on_who_else_is_inside(each_engine):
    found = []
    for wanted in (False, True):
        with threadpool_limits(2, user_api="blas"), another_inside(wanted):
            results = by_sums_of_squares(np.random.default_rng(0))
            found.append([array.tobytes() for array in results])
    assert found[0] == found[1]


class another_inside:
    """While the body runs another Python thread is inside a kernel, if wanted."""

    def __init__(self, wanted):
        self._wanted, self._leave = wanted, threading.Event()

    def __enter__(self):
        if self._wanted:
            inside = threading.Event()
            self._thread = threading.Thread(target=self._stay, args=(inside,))
            self._thread.start()
            inside.wait()

    def _stay(self, inside):
        with blas_on_one_thread():
            inside.set()
            self._leave.wait()

    def __exit__(self, *error):
        if self._wanted:
            self._leave.set()
            self._thread.join()


# the user's number ----------------------------------------------------------------------------


def blas_has():
    return [get() for get, _ in parts._dials()]


def all_have(threads):
    return [threads] * len(parts._dials())


def test_all_inside_are_told_the_users_number_and_the_last_gives_it_back():
    with threadpool_limits(2, user_api="blas"):
        with another_inside(True):
            assert blas_threads() == 2
            with blas_on_one_thread() as threads:
                assert threads == 2
                assert blas_has() == all_have(1)
            assert blas_has() == all_have(1)  # the other one is still inside
            assert blas_threads() == 2
        assert blas_has() == all_have(2)


def test_a_number_changed_in_between_is_taken_up_and_left_alone():
    with threadpool_limits(2, user_api="blas"):
        with blas_on_one_thread() as threads:
            assert threads == 2
        with threadpool_limits(1, user_api="blas"), blas_on_one_thread() as threads:
            assert threads == 1
        with threadpool_limits(3, user_api="blas"), blas_on_one_thread() as threads:
            assert threads == 3
        assert blas_has() == all_have(2)


def test_a_larger_number_set_while_somebody_is_inside_holds_for_the_next():
    with threadpool_limits(2, user_api="blas"):
        with blas_on_one_thread():
            for _, set_threads in parts._dials():
                set_threads(3)
            assert blas_threads() == 3
            with blas_on_one_thread() as threads:
                assert threads == 3
                assert blas_has() == all_have(1)
        assert blas_has() == all_have(3)
        with blas_on_one_thread():
            for _, set_threads in parts._dials():
                set_threads(2)
        assert blas_has() == all_have(2)  # what was set last


def test_an_error_or_an_interruption_does_not_leave_blas_on_one_thread():
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError), blas_on_one_thread():
            raise ZeroDivisionError
        assert blas_has() == all_have(2)
        entered = blas_on_one_thread()
        entered.__enter__()
        assert blas_has() == all_have(1)
        del entered  # Ctrl-C before the body began: nobody calls __exit__
        assert blas_has() == all_have(2)


def test_an_interrupted_restoring_is_made_up_for(monkeypatch):
    with threadpool_limits(2, user_api="blas"):

        def interrupted(shared):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(parts._Shared, "restore", interrupted)
            with pytest.raises(KeyboardInterrupt), blas_on_one_thread():
                pass
        assert blas_has() == all_have(1)
        assert blas_threads() == 2
        with blas_on_one_thread() as threads:
            assert threads == 2
        assert blas_has() == all_have(2)


def test_parts_have_the_callers_error_state():
    x = np.full((100, 1000), 1e308)
    with threadpool_limits(2, user_api="blas"):
        assert parts.worth(2, 100 * 1000 * 100)
        with np.errstate(all="raise"), pytest.raises(FloatingPointError):
            parts.in_parts(100, 2**30, lambda some: x[some] * 10)
        with np.errstate(all="ignore"):
            for part in parts.in_parts(100, 2**30, lambda some: x[some] * 10):
                assert np.isinf(part).all()


FORKING = """
import os, sys, threading, warnings
import numpy as np
from threadpoolctl import threadpool_limits
from handgrad.engine.kernels import parts
warnings.simplefilter("ignore")  # Python warns of forks where there are threads

def numbers():
    return [get() for get, _ in parts._dials()]

threadpool_limits(2, user_api="blas")
two = [2] * len(parts._dials())
inside, leave = threading.Event(), threading.Event()

def stay(locked):
    with parts.blas_on_one_thread():
        if locked:
            parts._shared.lock.acquire()
        inside.set()
        leave.wait()
        if locked:
            parts._shared.lock.release()

for where in ("elsewhere", "here", "in the lock"):
    inside.clear(), leave.clear()
    with parts.blas_on_one_thread() if where == "here" else threading.Lock():
        other = threading.Thread(target=stay, args=(where == "in the lock",))
        other.start()
        inside.wait()
        child = os.fork()
        if child == 0:
            threading.Timer(60, os._exit, [9]).start()
            right = numbers() == two and parts.blas_threads() == 2
            with parts.blas_on_one_thread() as threads:
                right &= threads == 2 and max(numbers()) == 1
            right &= numbers() == two
            results = parts.in_parts(4, 2**30, lambda some: np.ones((9, 9)) @ np.ones((9, 9)))
            right &= len(results) == 2 and all((result == 9).all() for result in results)
        else:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, where
            leave.set()
            other.join()
    if child == 0:  # left, too, what was entered before the fork
        right &= numbers() == two
        os._exit(not right)
    assert numbers() == two, where
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_forked_while_others_are_inside_is_free():
    run = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=300
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_threads_that_come_and_go_never_see_another_number():
    """Thousands of entries at once: each is told 2, and finds BLAS on one thread."""
    seen, stop = set(), threading.Event()

    def come_and_go():
        while not stop.is_set():
            with blas_on_one_thread() as threads:
                seen.add((threads, *blas_has()))
            seen.add((blas_threads(), *all_have(1)))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with threadpool_limits(2, user_api="blas"):
            callers = [threading.Thread(target=come_and_go) for _ in range(4)]
            for caller in callers:
                caller.start()
            stop.wait(1.0)
            stop.set()
            for caller in callers:
                caller.join()
            assert seen == {(2, *all_have(1))}
            assert blas_has() == all_have(2)
    finally:
        sys.setswitchinterval(before)
