"""How sure is a figure: people, not rows, are drawn again, as the rows of one person are no independent evidence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
TAILS = ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0)
SIGMAS = 1.959964
"""Of a normal distribution, to `LEVEL`."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval of 95%; the bounds are None where there is no telling."""

    value: float
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | None]:
        """For JSON, without digits that mean nothing; more than a check against another evaluator needs."""
        return {name: None if (x := getattr(self, name)) is None else round(x, 9) for name in ("value", "low", "high")}


@dataclass(frozen=True)
class People:
    """Who stands behind each of some rows, and how often each person is drawn in each resample.

    Two models judged on the same rows use the same object, so that their resamples are paired.

    Attributes
    ----------
    user
        int (n,): whoever; only equality counts.
    """

    user: np.ndarray
    resamples: int = RESAMPLES
    seed: int = 7

    @cached_property
    def code(self) -> np.ndarray:
        """int64 (n,): 0 .. people - 1."""
        return np.unique(self.user, return_inverse=True)[1]

    @cached_property
    def count(self) -> int:
        """People."""
        return int(self.code.max(initial=-1)) + 1

    @cached_property
    def drawn(self) -> np.ndarray:
        """float64 (resamples, people): as many are drawn as there are, with replacement."""
        if not self.count:
            return np.zeros((self.resamples, 0))
        even = np.full(self.count, 1.0 / self.count)
        return np.random.default_rng(self.seed).multinomial(self.count, even, self.resamples).astype(np.float64)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of the rows' values (n,) in each resample, float64 (resamples,)."""
        return self.drawn @ np.bincount(self.code, weights=values, minlength=self.count)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean over the drawn rows in each resample, float64 (resamples,)."""
        return self.sums(values) / self.sums(np.ones(len(values)))

    def mean(self, values: np.ndarray) -> Estimate | None:
        """Mean of the rows' values and its percentile interval; None of no rows."""
        return between(float(values.mean()), self.means(values)) if len(values) else None

    def ratio(self, above: np.ndarray, below: np.ndarray, less: float = 0.0) -> Estimate | None:
        """Sum of ``above`` in parts of the sum of ``below``, minus ``less``; None where there is nothing below."""
        if not len(below) or below.sum() <= 0:
            return None
        under = self.sums(below)
        samples = self.sums(above)[under > 0] / under[under > 0]
        return between(float(above.sum() / below.sum()) - less, samples - less)


def between(value: float, samples: np.ndarray) -> Estimate:
    """Percentile interval. One person alone, whose resamples are all alike, proves nothing: no bounds."""
    if len(samples) < 2 or not np.ptp(samples):
        return Estimate(value, None, None)
    low, high = np.quantile(samples, TAILS)
    return Estimate(value, float(low), float(high))


def around(value: float, samples: np.ndarray, least: float = 0.0, most: float = 1.0) -> Estimate:
    """Normal interval around the value: for figures that drawing people again moves by itself.

    Fewer different people recommend fewer different items, so percentiles of coverage need not contain it.
    """
    if len(samples) < 2 or not np.ptp(samples):
        return Estimate(value, None, None)
    reach = SIGMAS * float(samples.std(ddof=1))
    return Estimate(value, max(value - reach, least), min(value + reach, most))


def p_value(samples: np.ndarray) -> float:
    """Two-sided, of resampled differences against no difference; never below what the resamples can tell."""
    beyond = min(int((samples <= 0).sum()), int((samples >= 0).sum()))
    return min(1.0, 2.0 * (beyond + 1) / (len(samples) + 1))


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """p of each of several comparisons, corrected for their number (Holm 1979).

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    corrected: dict[str, float] = {}
    least = 0.0
    for turn, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - turn) * p_values[name]))
        corrected[name] = least
    return corrected
