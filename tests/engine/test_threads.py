"""The engine's threads: the bits of one caller alone, in several Python threads, after forks."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import children
import numpy as np
import pytest
from engines import each_engine as each_engine, needs_the_engine
from threadpoolctl import threadpool_info, threadpool_limits

from handgrad.cnn import ConvNet
from handgrad.engine import library
from handgrad.engine.program import Program
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.softmax import SoftmaxClassifier
from handgrad.solver import Solver


def dense(rng):
    """Many steps in one call; the products are worth two parts."""
    return SoftmaxClassifier(hidden_dim=150, weight_scale="he", reg=1e-3, dtype=np.float32, rng=rng)


def deep(rng):
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


def blas_has():
    return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]


@pytest.mark.parametrize("threads", [2, 3])
def test_trainings_in_threads_end_where_each_ends_alone(each_engine, threads):
    """Who comes while the pool is at work does its parts one after the other."""
    with threadpool_limits(threads, user_api="blas"):
        before = blas_has()
        alone = [train(*training) for training in TRAININGS]
        with ThreadPoolExecutor(len(TRAININGS)) as pool:
            for _ in range(2):
                at_once = [pool.submit(train, *training) for training in TRAININGS]
                assert [result.result() for result in at_once] == alone
        assert blas_has() == before


def test_the_users_number_of_threads_is_taken():
    for threads in (1, 2, 3):
        with threadpool_limits(threads, user_api="blas"):
            assert library.threads() == threads


# the pool itself ------------------------------------------------------------------------------

TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)


def in_parts(parts, do):
    task = TASK(lambda _, part: do(part))
    library.load(np.dtype(np.float64)).in_parts(parts, task, None)


@needs_the_engine
def test_each_part_is_done_once_and_threads_are_hired_as_they_are_needed():
    for parts in (1, 2, 3, 2, 7, 7, 1, 4):
        for pause in (0, 0.002):  # workers that look for work, and that sleep
            time.sleep(pause)
            done = []
            in_parts(parts, done.append)
            assert sorted(done) == list(range(parts))


@needs_the_engine
def test_parts_are_at_work_at_the_same_time():
    meeting = threading.Barrier(3, timeout=60)
    in_parts(3, lambda part: meeting.wait())


@needs_the_engine
def test_who_comes_second_works_alone():
    inside, leave, done = threading.Event(), threading.Event(), []

    def first(part):
        if part == 0:
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=in_parts, args=(2, first))
    other.start()
    inside.wait(60)
    in_parts(3, lambda part: done.append((part, threading.get_ident())))
    assert done == [(part, threading.get_ident()) for part in range(3)]
    leave.set()
    other.join()


FORKING = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")  # Python warns of forks where there are threads
from threadpoolctl import threadpool_limits
import test_threads as t
threadpool_limits(2, user_api="blas")
first = t.train(*t.TRAININGS[2])
inside, leave = threading.Event(), threading.Event()
def stay(part):
    if part == 0:
        inside.set()
        leave.wait(60)
for busy in (False, True):
    if busy:  # forked while another thread has the pool
        other = threading.Thread(target=t.in_parts, args=(2, stay))
        other.start()
        inside.wait(60)
    child = os.fork()
    if child == 0:
        threading.Timer(100, os._exit, [9]).start()
        t.test_parts_are_at_work_at_the_same_time()
        os._exit(0 if t.train(*t.TRAININGS[2]) == first else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, busy
leave.set()
other.join()
assert t.train(*t.TRAININGS[2]) == first
"""


@needs_the_engine
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_threads_of_its_own():
    run = subprocess.run(
        [sys.executable, "-c", FORKING], env=children.importing(__file__), capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")


@needs_the_engine
def test_scratch_grows_within_scratch():
    """In a thread that has none yet: a small network's is too small for the next one's."""
    found = []

    def score():
        for features, units in ((3, 2), (900, 700), (3, 2), (4000, 300)):
            network = Network([Dense(units)], (features,), rng=np.random.default_rng(0))
            X = np.random.default_rng(1).standard_normal((90, features))
            grads = Program(network).backward(X, np.ones((90, units)))
            found.append(np.allclose(grads["W1"], X.T @ np.ones((90, units))))

    thread = threading.Thread(target=score)
    thread.start()
    thread.join()
    assert found == [True] * 4
