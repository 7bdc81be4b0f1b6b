"""What is learnt from, what is asked, and the parts of it that are reported apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from nearline.core.behaviour import Ledger
from nearline.core.split import first_interactions
from nearline.models.evaluation import Window

Candidates = Literal["catalogue", "trained"]


@dataclass(frozen=True)
class Stratum:
    """Some of the test rows, and what they are ranked among (less what their person has met)."""

    rows: np.ndarray
    candidates: Candidates


@dataclass(frozen=True)
class Problem:
    """One protocol on one ledger.

    Attributes
    ----------
    cut, inner_cut
        Seconds since 1970 (or places in the order). Leave-one-out has no cut for everybody: there they are just past
        the newest event of the training part and of its inner part.
    full, inner
        Bool, one a ledger row: may be learnt from for the test; for the validation window.
    validation, test
        First meetings to predict, and their histories. Choices are made on the first, the second is only reported.
    """

    protocol: Literal["successive", "loo"]
    ledger: Ledger
    seed: int
    cut: float
    inner_cut: float
    full: np.ndarray
    inner: np.ndarray
    validation: Window
    test: Window

    @cached_property
    def first(self) -> np.ndarray:
        """Bool, one a ledger row: by this row its person met its item for the first time, and liked it."""
        chosen = np.zeros(len(self.ledger), dtype=bool)
        chosen[first_interactions(self.ledger)] = True
        return chosen

    @cached_property
    def trained(self) -> np.ndarray:
        """Bool (items,): has an event in the training part; the candidates of the warm figure."""
        return touched(self.ledger, self.full)

    @cached_property
    def inner_trained(self) -> np.ndarray:
        """Bool (items,): has an event in the inner part; the candidates of every choice."""
        return touched(self.ledger, self.inner)

    @cached_property
    def popularity(self) -> np.ndarray:
        """Int64 (items,): people who first met each item in the training part. Ends at the cut."""
        return np.bincount(self.ledger.item[self.first & self.full], minlength=len(self.ledger.items))

    @cached_property
    def strata(self) -> dict[str, Stratum]:
        """Test rows by name.

        ``warm`` and ``new_users`` (at most 3 earlier events) have only targets of the training part, among its items;
        ``all``, ``cold`` (the target's first event is after the cut), ``new_users_full`` and ``kind.<kind>`` are
        ranked among the whole catalogue.
        """
        ledger, test = self.ledger, self.test
        warm = self.trained[test.targets]
        new = test.is_new()
        found = {
            "all": Stratum(np.ones(len(test), dtype=bool), "catalogue"),
            "warm": Stratum(warm, "trained"),
            "cold": Stratum(~warm, "catalogue"),
            "new_users": Stratum(new & warm, "trained"),
            "new_users_full": Stratum(new, "catalogue"),
        }
        kinds = ledger.kind[test.rows]
        return found | {f"kind.{ledger.kinds[code]}": Stratum(kinds == code, "catalogue") for code in np.unique(kinds)}


def touched(ledger: Ledger, rows: np.ndarray) -> np.ndarray:
    """Bool (items,): has an event among some rows of the ledger."""
    items = ledger.item[rows]
    return np.bincount(items[items >= 0], minlength=len(ledger.items)) > 0
