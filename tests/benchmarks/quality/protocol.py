"""What is learnt from, what is asked, and of whom: the "successive" protocol and leave-one-out.

successive (arXiv 2507.16289): one cut in time for everybody. A model learns from what came before, stays as it is, and
predicts later first meetings, each from what its person did strictly before it, after the cut too.
leave-one-out: the last first meeting of each person. Other people's future is learnt from, which no deployed model can
do: for comparison with papers only.
"""

from __future__ import annotations

import numpy as np

from benchmarks.quality.problem import Problem
from nearline.core.behaviour import Ledger, run_starts
from nearline.core.split import cut_time, first_interactions, sample_rows
from nearline.errors import InputError
from nearline.models.evaluation import Window
from nearline.models.training_data import VALIDATION_ROWS

HOLDOUT = 0.1
"""Share of the newest events after the cut; and of what is before it, after the inner cut."""
TEST_ROWS = 5000


def successive(ledger: Ledger, seed: int = 7) -> Problem:
    """Cut time at the 0.9 quantile of all events; and what is before, once more, for choices.

    Raises
    ------
    InputError
        When nobody met an item for the first time in one of the windows.
    """
    cut = cut_time(ledger.time, HOLDOUT)
    inner_cut = cut_time(ledger.time[ledger.time < cut], HOLDOUT)
    first = first_interactions(ledger)
    at = ledger.time[first]
    validation, test = first[(at >= inner_cut) & (at < cut)], first[at >= cut]
    _check(validation, test)
    return Problem(
        "successive", ledger, seed, cut, inner_cut, ledger.time < cut, ledger.time < inner_cut,
        Window.of(ledger, sample_rows(validation, VALIDATION_ROWS, seed)),
        Window.of(ledger, sample_rows(test, TEST_ROWS, seed)),
    )  # fmt: skip


def leave_one_out(ledger: Ledger, seed: int = 7) -> Problem:
    """Hold out the last first meeting of each person, and for choices the one before.

    Only of people with first meetings at three different moments or more; all others are learnt from whole. What is at
    or after the moment of a person's held out row is not learnt from, in the test part and in the inner part alike.

    Raises
    ------
    InputError
        When nobody has met three items at different moments.
    """
    first, moment = first_interactions(ledger), run_starts(ledger.user, ledger.time)
    people = ledger.user[first]
    test = first[np.flatnonzero(np.append(people[1:] != people[:-1], True))] if len(first) else first
    validation = _before(test, first, moment)
    earliest = _before(validation, first, moment)
    kept = earliest >= 0
    for earlier in (validation, earliest):
        kept &= ledger.user[earlier] == ledger.user[test]
    test, validation = test[kept], validation[kept]
    _check(validation, test)
    full, inner = (_until(ledger, held_out, moment) for held_out in (test, validation))
    newest, newest_inner = (float(ledger.time[part].max(initial=0.0)) for part in (full, inner))
    return Problem(
        "loo", ledger, seed, newest + 1.0, newest_inner + 1.0, full, inner,
        Window.of(ledger, sample_rows(validation, VALIDATION_ROWS, seed)),
        Window.of(ledger, sample_rows(test, TEST_ROWS, seed)),
    )  # fmt: skip


def _before(rows: np.ndarray, first: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """For each row the last first meeting before its moment, of whomever; -1 where there is none."""
    place = np.searchsorted(first, moment[rows]) - 1
    return np.where((place >= 0) & (rows >= 0), first[np.maximum(place, 0)], -1)


def _until(ledger: Ledger, held_out: np.ndarray, moment: np.ndarray) -> np.ndarray:
    limit = np.full(len(ledger.users), len(ledger))
    limit[ledger.user[held_out]] = moment[held_out]
    return np.arange(len(ledger)) < limit[ledger.user]


def _check(validation: np.ndarray, test: np.ndarray) -> None:
    if not len(test) or not len(validation):
        raise InputError(
            "Expected people who meet an item for the first time in the test and in the validation window, saw "
            f"{len(test)} and {len(validation)} such events. Fix: use a data set of more people, of a longer time, or "
            "with kinds of events that speak for an item, of a weight above 0."
        )
