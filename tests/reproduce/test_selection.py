"""The search's ledger: every candidate once, whoever tries it, whatever dies, in any order."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path

import children
import pytest

from handgrad.errors import ResultsError
from handgrad.selection import Search, combinations

SPACE = {"hidden_dim": [5, 10], "reg": [0.1, 0.0, 0.01]}
# Validation accuracies by candidate; 1, 3 and 4 are equally good.
ACCURACIES = [0.5, 0.875, 0.75, 0.875, 0.875, 0.25]


def prepared(tmp_path, space=SPACE):
    return Search.prepare(tmp_path / "s.journal", "2.4", space)


def settle(search, accuracies=ACCURACIES):
    """Try everything that is offered; return the indices in the order of the claims."""
    order = []
    while (claim := search.claim()) is not None:
        order.append(claim.index)
        search.report(claim, accuracies[claim.index], 1.0)
    return order


def test_candidates_are_every_combination_the_last_name_fastest():
    assert combinations(SPACE) == [
        {"hidden_dim": 5, "reg": 0.1},
        {"hidden_dim": 5, "reg": 0.0},
        {"hidden_dim": 5, "reg": 0.01},
        {"hidden_dim": 10, "reg": 0.1},
        {"hidden_dim": 10, "reg": 0.0},
        {"hidden_dim": 10, "reg": 0.01},
    ]


def test_values_may_be_numbers_strings_booleans_and_none(tmp_path):
    space = {"where": ["a, b", "c"], "dropout": [None, 0.5], "on": [True, False]}
    search = prepared(tmp_path, space)
    claims = [search.claim() for _ in range(8)]
    assert [claim.params for claim in claims] == combinations(space)


def test_each_candidate_is_claimed_once_in_order(tmp_path):
    search = prepared(tmp_path)
    assert search.open_candidates() == [0, 1, 2, 3, 4, 5]
    claim = search.claim()
    assert (claim.index, claim.params) == (0, {"hidden_dim": 5, "reg": 0.1})
    assert search.open_candidates() == [0, 1, 2, 3, 4, 5]  # claimed, but without a result
    search.report(claim, 0.5, 2.5)
    assert search.open_candidates() == [1, 2, 3, 4, 5]
    assert settle(search) == [1, 2, 3, 4, 5]
    assert search.open_candidates() == []
    assert search.claim() is None
    assert search.claim() is None


def test_the_accuracy_of_every_candidate_is_kept(tmp_path):
    settle(prepared(tmp_path))
    trials = prepared(tmp_path).trials()  # read back from the file
    assert [trial.params for trial in trials] == combinations(SPACE)
    assert [trial.val_accuracy for trial in trials] == ACCURACIES
    assert [trial.seconds for trial in trials] == [1.0] * 6
    assert [trial.error for trial in trials] == [None] * 6


def test_of_equals_the_first_is_chosen(tmp_path):
    search = prepared(tmp_path)
    settle(search)
    assert search.best() == {"hidden_dim": 5, "reg": 0.0}


def test_the_order_of_trying_does_not_change_the_choice(tmp_path):
    search = prepared(tmp_path)
    claims = [search.claim() for _ in ACCURACIES]
    for claim in reversed(claims):
        search.report(claim, ACCURACIES[claim.index], 1.0)
    assert search.best() == {"hidden_dim": 5, "reg": 0.0}
    assert [trial.val_accuracy for trial in search.trials()] == ACCURACIES


def test_a_candidate_of_accuracy_zero_is_a_result(tmp_path):
    search = prepared(tmp_path, {"reg": [0.1, 0.2]})
    settle(search, [0.0, 0.0])
    assert search.best() == {"reg": 0.1}
    assert search.open_candidates() == []


# Of candidate and seed: 1, 3 and 4 are the best with the first seed, 4 is with all three.
AGAIN = {1: [0.75, 0.75], 3: [0.5, 0.5], 4: [0.875, 0.875]}


def with_finalists(tmp_path):
    return Search.prepare(tmp_path / "s.journal", "2.4", SPACE, finalists=3, seeds=3)


def settle_round(search):
    """Try everything that is offered; return the candidates and seeds in order."""
    runs = []
    while (claim := search.claim()) is not None:
        accuracies = [ACCURACIES[claim.index], *AGAIN.get(claim.index, [])]
        search.report(claim, accuracies[claim.seed], 1.0)
        runs.append((claim.index, claim.seed))
    return runs


def test_the_best_are_tried_with_more_seeds_and_their_mean_decides(tmp_path):
    search = with_finalists(tmp_path)
    assert search.runs_left() == 6 + 3 * 2
    assert settle_round(search) == [(index, 0) for index in range(6)]
    assert search.runs_left() == search.offer() == 3 * 2
    assert search.offer() == 3 * 2  # but not twice
    assert settle_round(search) == [(1, 1), (3, 1), (4, 1), (1, 2), (3, 2), (4, 2)]
    assert search.runs_left() == search.offer() == 0
    assert search.best() == combinations(SPACE)[4]
    trials = search.trials()
    assert [trial.seeds for trial in trials] == [1, 3, 1, 3, 3, 1]
    assert trials[1].val_accuracy == pytest.approx((0.875 + 0.75 + 0.75) / 3)
    assert trials[4].seconds == 3.0
    # A candidate that was left behind with one seed (0.75) is not weighed against means.
    assert search.best(without=[trials[4].params, trials[1].params]) == combinations(SPACE)[3]


def test_finalists_are_the_same_after_an_interruption(tmp_path):
    search = with_finalists(tmp_path)
    settle_round(search)
    search.offer()
    search.report(search.claim(), 0.75, 1.0)
    search.claim()  # and dies
    again = with_finalists(tmp_path)
    assert again.runs_left() == 5
    assert sorted(settle_round(again)) == [(1, 2), (3, 1), (3, 2), (4, 1), (4, 2)]
    assert again.best() == combinations(SPACE)[4]


def test_a_finalist_that_diverges_with_another_seed_is_out(tmp_path):
    search = with_finalists(tmp_path)
    settle_round(search)
    search.offer()
    while (claim := search.claim()) is not None:
        accuracy = None if (claim.index, claim.seed) == (4, 2) else AGAIN[claim.index][0]
        search.report(claim, accuracy, 1.0, "the loss became nan")
    assert search.offer() == 0
    assert search.trials()[4].error == "the loss became nan"
    assert search.trials()[4].val_accuracy is None
    assert search.best() == combinations(SPACE)[1]


@pytest.mark.parametrize("accuracy", [None, float("nan"), float("inf")])
def test_a_diverged_candidate_is_recorded_and_the_search_goes_on(tmp_path, accuracy):
    search = prepared(tmp_path)
    claim = search.claim()
    search.report(claim, accuracy, 0.5, "the loss became nan at iteration 7")
    assert settle(search) == [1, 2, 3, 4, 5]
    again = prepared(tmp_path)
    assert again.open_candidates() == []  # it is not tried again
    assert again.claim() is None
    failed = again.trials()[0]
    assert (failed.val_accuracy, failed.seconds) == (None, 0.5)
    assert failed.error == "the loss became nan at iteration 7"
    assert again.best() == {"hidden_dim": 5, "reg": 0.0}


def test_no_success_at_all_is_an_error_that_names_the_causes(tmp_path):
    search = prepared(tmp_path, {"learning_rate": [1e9, 1e10]})
    for cause in ("the loss became inf", "the loss became nan"):
        search.report(search.claim(), None, 1.0, cause)
    expected = "every candidate of 2.4 failed: the loss became inf; the loss became nan"
    with pytest.raises(ResultsError, match=expected):
        search.best()


def test_interrupted_claims_are_offered_again(tmp_path):
    search = prepared(tmp_path)
    first, _, third = search.claim(), search.claim(), search.claim()
    search.report(first, 0.5, 1.0)
    search.report(third, 0.75, 1.0)
    del search  # the second claim's process dies
    again = prepared(tmp_path)
    assert again.open_candidates() == [1, 3, 4, 5]
    assert sorted(settle(again)) == [1, 3, 4, 5]
    assert [trial.val_accuracy for trial in again.trials()] == ACCURACIES
    assert again.best() == {"hidden_dim": 5, "reg": 0.0}


def test_preparing_often_offers_each_candidate_once(tmp_path):
    for _ in range(4):
        search = prepared(tmp_path)
        search.claim()  # and dies
    search = prepared(tmp_path)
    assert sorted(settle(search)) == [0, 1, 2, 3, 4, 5]


def test_a_process_that_died_while_it_reported(tmp_path):
    search = prepared(tmp_path)
    search.claim()
    diverged = search.claim()
    before = (tmp_path / "s.journal").read_bytes()
    search.report(diverged, None, 1.0, "the loss became nan")
    whole = (tmp_path / "s.journal").read_bytes()
    for length in range(len(before), len(whole)):  # what a kill there leaves in the ledger
        (tmp_path / "s.journal").write_bytes(whole[:length])
        assert prepared(tmp_path).open_candidates() == [0, 1, 2, 3, 4, 5]
    (tmp_path / "s.journal").write_bytes(whole)
    again = prepared(tmp_path)
    # As many workers as there are candidates left, one claim each, must settle every candidate.
    for _ in again.open_candidates():
        claim = again.claim()
        again.report(claim, ACCURACIES[claim.index], 1.0)
    assert again.open_candidates() == []
    assert len(again.trials()) == 6


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path, monkeypatch):
    search = prepared(tmp_path)
    claim = search.claim()
    before = (tmp_path / "s.journal").read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            search.report(claim, 0.5, 1.0)
    assert (tmp_path / "s.journal").read_bytes() == before
    search.report(claim, 0.5, 1.0)
    assert search.trials()[0].val_accuracy == 0.5


# the ledger -------------------------------------------------------------------------------------


def test_a_torn_last_line_is_mended(tmp_path):
    settle(prepared(tmp_path))
    journal = tmp_path / "s.journal"
    with journal.open("ab") as file:
        file.write(b'{"kind": "claim", "ru')
    again = prepared(tmp_path)
    assert [trial.val_accuracy for trial in again.trials()] == ACCURACIES
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_journal_cut_anywhere_ends_with_the_same_choice(tmp_path):
    settle(prepared(tmp_path))
    whole = (tmp_path / "s.journal").read_bytes()
    for length in range(0, len(whole), len(whole) // 7):
        (tmp_path / "s.journal").write_bytes(whole[:length])
        again = prepared(tmp_path)
        settle(again)
        assert [trial.val_accuracy for trial in again.trials()] == ACCURACIES, length
        assert again.best() == {"hidden_dim": 5, "reg": 0.0}


WRONG = [b"not json", b"[]", b"{}", b'{"kind": "claim", "run": [99, 0]}', b'{"kind": "claim"}']


@pytest.mark.parametrize("where", [0, 4])
@pytest.mark.parametrize("wrong", [*WRONG, b'{"kind": "result", "run": [0, 0], "result": {}}'])
def test_a_damaged_journal_is_refused(tmp_path, where, wrong):
    settle(prepared(tmp_path))
    journal = tmp_path / "s.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[where] = wrong + b"\n"
    journal.write_bytes(b"".join(lines))
    with pytest.raises(ResultsError, match=rf"s\.journal is damaged \(line {where + 1}\); delete"):
        prepared(tmp_path)


def test_a_journal_of_optuna_is_refused_in_one_line(tmp_path):
    line = '{"op_code": 0, "worker_id": "a", "study_name": "2.4", "directions": [2]}\n'
    (tmp_path / "s.journal").write_text(line)
    with pytest.raises(ResultsError, match=r"s\.journal is a journal of Optuna, as older versions"):
        prepared(tmp_path)
    assert (tmp_path / "s.journal").read_text() == line


@pytest.mark.parametrize(
    "space",
    [{"hidden_dim": [5, 10], "reg": [0.1, 0.0]}, {"hidden_dim": [5, 10]}, {"dropout": [0.5]}],
    ids=str,
)
def test_the_search_of_another_space_is_refused(tmp_path, space):
    prepared(tmp_path)
    message = r"s\.journal holds a search of other candidates, .* name another folder with --out"
    with pytest.raises(ResultsError, match=message):
        prepared(tmp_path, space)
    with pytest.raises(ResultsError, match=message):
        Search(tmp_path / "s.journal", "2.4", space)


# several processes ------------------------------------------------------------------------------

WORKER = """
    import pathlib, sys, time
    from handgrad.selection import Search
    folder, me, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    search = Search(folder / "s.journal", "2.4", {"a": list(range(count))})
    (folder / f"ready-{me}").touch()
    while not (folder / "go").exists():
        time.sleep(0.005)
    while (claim := search.claim()) is not None:
        print(claim.index, flush=True)
        search.report(claim, 1 / (1 + abs(claim.params["a"] - 7)), 0.0)
"""


def started(*arguments, code, cwd):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return children.started(command, stdout=subprocess.PIPE, text=True, cwd=cwd)


def test_two_processes_share_a_journal_and_try_every_candidate_once(tmp_path):
    count = 24
    search = Search.prepare(tmp_path / "s.journal", "2.4", {"a": list(range(count))})
    with ExitStack() as stack:
        workers = [
            stack.enter_context(started(tmp_path, me, count, code=WORKER, cwd=tmp_path))
            for me in (0, 1)
        ]
        while not all((tmp_path / f"ready-{me}").exists() for me in (0, 1)):
            assert all(worker.poll() is None for worker in workers)
        (tmp_path / "go").touch()
        tried = [[int(line) for line in w.communicate(timeout=60)[0].split()] for w in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(tried[0] + tried[1]) == list(range(count))
    assert search.open_candidates() == []
    assert search.best() == {"a": 7}


LEFT_LOCKED = """
    import os, pathlib, sys
    from handgrad.selection import Search
    path = pathlib.Path(sys.argv[1])
    search = Search.prepare(path, "2.4", {"a": [1, 2]})
    search.report(search.claim(), 0.5, 0.0)
    claim = search.claim()
    os.fsync = lambda handle: os.kill(os.getpid(), 9)  # dies while it writes to the journal
    search.report(claim, 0.75, 0.0)
"""
GO_ON = """
    import pathlib, sys
    from handgrad.selection import Search
    search = Search.prepare(pathlib.Path(sys.argv[1]), "2.4", {"a": [1, 2]})
    while (claim := search.claim()) is not None:
        search.report(claim, 0.75, 0.0)
    print(search.best()["a"], len(search.trials()))
"""


@pytest.mark.parametrize("relative", [True, False])
def test_a_process_killed_while_it_writes_locks_nobody_out(tmp_path, relative):
    (tmp_path / "search").mkdir()
    path = Path("search/s.journal") if relative else tmp_path / "search/s.journal"
    with started(path, code=LEFT_LOCKED, cwd=tmp_path) as dying:
        assert dying.wait(60) == -9
    with started(path, code=GO_ON, cwd=tmp_path) as going_on:
        output, _ = going_on.communicate(timeout=15)
    assert output.split() == ["2", "2"]
