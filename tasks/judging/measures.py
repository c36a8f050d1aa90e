"""Measures of agreement between raters, and their intervals.

In: values by pattern and rater (0 to 3, NaN for none) and how many subjects have each pattern. Out: a value with a 95%
bootstrap interval over subjects. A measure is a function of sums over subjects: it says what each pattern adds, and what
the totals are worth. NaN is a measure that does not exist, such as a kappa where nobody ever differs from anybody.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LEVELS = np.arange(4)
RESAMPLES = 1000


class Measure(NamedTuple):
    """`sums` of values (patterns by raters) has a row per pattern; `worth` of totals (draws by sums) a value per draw."""

    sums: Callable[[np.ndarray], np.ndarray]
    worth: Callable[[np.ndarray], np.ndarray]


class Estimate(NamedTuple):
    """A value and the ends of its interval; None where there is none."""

    value: float | None
    low: float | None
    high: float | None


def tallies(values: np.ndarray) -> np.ndarray:
    """How many raters give each level, by pattern and level."""
    given: np.ndarray = (values[:, :, None] == LEVELS).sum(axis=1)
    return given.astype(float)


def percent_sums(values: np.ndarray) -> np.ndarray:
    """Agreeing pairs of raters, and all pairs."""
    given = tallies(values)
    raters = given.sum(axis=1)
    return np.stack([(given * (given - 1)).sum(axis=1) / 2, raters * (raters - 1) / 2], axis=1)


def percent_worth(totals: np.ndarray) -> np.ndarray:
    """The share of pairs that agree."""
    return ratio(totals[:, 0], totals[:, 1])


def cohen_sums(values: np.ndarray) -> np.ndarray:
    """The cells of the confusion matrix of two raters."""
    first, second = (np.asarray(values[:, rater, None] == LEVELS, dtype=float) for rater in (0, 1))
    cells: np.ndarray = first[:, :, None] * second[:, None, :]
    return cells.reshape(len(values), -1)


def cohen_worth(totals: np.ndarray) -> np.ndarray:
    """Cohen's kappa (Educational and Psychological Measurement 20, 1960)."""
    cells = totals.reshape(-1, len(LEVELS), len(LEVELS))
    cells = cells / cells.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(cells, axis1=1, axis2=2)
    expected = (cells.sum(axis=1) * cells.sum(axis=2)).sum(axis=1)
    return ratio(observed - expected, 1 - expected)


def fleiss_sums(values: np.ndarray) -> np.ndarray:
    """The agreement of each subject, and its share of each level."""
    given = tallies(values)
    return np.column_stack([percent_worth(percent_sums(values)), given / given.sum(axis=1, keepdims=True)])


def fleiss_worth(totals: np.ndarray) -> np.ndarray:
    """Fleiss' kappa (Psychological Bulletin 76, 1971); subjects weigh the same, however many rated each."""
    subjects = totals[:, 1:].sum(axis=1)
    expected = ((totals[:, 1:] / subjects[:, None]) ** 2).sum(axis=1)
    return ratio(totals[:, 0] / subjects - expected, 1 - expected)


def alpha_sums(values: np.ndarray) -> np.ndarray:
    """The cells of the coincidence matrix."""
    given = tallies(values)
    pairs = given[:, :, None] * given[:, None, :] - given[:, :, None] * np.eye(len(LEVELS))
    cells: np.ndarray = pairs / (given.sum(axis=1) - 1)[:, None, None]
    return cells.reshape(len(values), -1)


def alpha_worth(totals: np.ndarray, ordinal: bool) -> np.ndarray:
    """Krippendorff's alpha (Content Analysis, 2nd edition, 2004, chapter 11), nominal or ordinal."""
    cells = totals.reshape(-1, len(LEVELS), len(LEVELS))
    given = cells.sum(axis=2)
    if ordinal:
        # Half of a level's values lie below its middle: the distance of two levels is what lies between their middles.
        middle = np.cumsum(given, axis=1) - given / 2
        distance = (middle[:, :, None] - middle[:, None, :]) ** 2
    else:
        distance = np.broadcast_to(1 - np.eye(len(LEVELS)), cells.shape)
    observed = (cells * distance).sum(axis=(1, 2))
    expected = (given[:, :, None] * given[:, None, :] * distance).sum(axis=(1, 2)) / (given.sum(axis=1) - 1)
    worth: np.ndarray = 1 - ratio(observed, expected)
    return worth


PERCENT = Measure(percent_sums, percent_worth)
COHEN = Measure(cohen_sums, cohen_worth)
FLEISS = Measure(fleiss_sums, fleiss_worth)
NOMINAL_ALPHA = Measure(alpha_sums, lambda totals: alpha_worth(totals, ordinal=False))
ORDINAL_ALPHA = Measure(alpha_sums, lambda totals: alpha_worth(totals, ordinal=True))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where nothing is divided by nothing, up to rounding."""
    divided: np.ndarray = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 1e-12)
    return divided


def estimate(measure: Measure, values: np.ndarray, counts: np.ndarray, seed: int) -> Estimate:
    """The measure and its interval: percentiles of the draws in which it exists."""
    if not counts.sum():
        return Estimate(None, None, None)
    # Patterns that add the same are one: as many annotators may have made thousands of patterns.
    sums, place = np.unique(measure.sums(values), axis=0, return_inverse=True)
    weights = np.bincount(place.reshape(-1), weights=counts)
    value = float(measure.worth((weights @ sums)[None])[0])
    if np.isnan(value):
        return Estimate(None, None, None)
    total = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(total, weights / total, RESAMPLES)
    low, high = np.nanpercentile(measure.worth(drawn @ sums), [2.5, 97.5])
    return Estimate(value, float(low), float(high))
