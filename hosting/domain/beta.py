"""A share of good outcomes that is learnt from observations and forgotten over time: the decayed Beta distribution.

Observations count what they count when they happen and half of it ``HALF_LIFE`` later, whether or not anything else is
observed meanwhile. What is known beforehand, the prior, does not fade: a track of which nothing is heard for long goes
back to it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

HALF_LIFE = timedelta(days=30)
LOWER_SHARE_Z = 1.2815515655446004
"""The 90% quantile of the standard normal distribution: what lies below the lower quantile is 10%."""

_HALF_LIFE_SECONDS = HALF_LIFE.total_seconds()
_DECAY_PER_SECOND = math.log(2) / _HALF_LIFE_SECONDS
_SERIES_FROM = 8.0
"""From here on the asymptotic series below are exact to ten digits."""


@dataclass(frozen=True, slots=True)
class Track:
    """Weights of good and of bad outcomes, faded to the present."""

    good: float = 0.0
    bad: float = 0.0

    def faded(self, seconds: float) -> "Track":
        """The same track ``seconds`` later."""
        left = math.exp(-_DECAY_PER_SECOND * seconds)
        return Track(self.good * left, self.bad * left)

    def plus(self, *, good: float = 0.0, bad: float = 0.0) -> "Track":
        """The track with more observed just now."""
        return Track(self.good + good, self.bad + bad)


NOTHING = Track()
"""Nothing observed yet."""


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta(a, b): what is believed of the share of good outcomes."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """The expected share, 0..1."""
        return self.a / (self.a + self.b)

    def with_track(self, track: Track) -> "Beta":
        """This prior after what was observed."""
        return Beta(self.a + track.good, self.b + track.bad)


def faded_sum(seconds: float) -> float:
    """What one observation a second, going on for ``seconds``, weighs at their end; in seconds."""
    return -math.expm1(-_DECAY_PER_SECOND * seconds) / _DECAY_PER_SECOND


def product_mean(factors: Iterable[tuple[Beta, float]]) -> float:
    """The product of the means, each to the power of its exponent."""
    product: float = math.prod(beta.mean**exponent for beta, exponent in factors)
    return product


def product_lower(factors: Iterable[tuple[Beta, float]]) -> float:
    """The value below which the product of independent shares, each to the power of its exponent, is in 1 of 10 cases.

    The negative logarithm of the product is a sum of positive terms. Mean and variance of -ln X for X ~ Beta(a, b) are
    psi(a + b) - psi(a) and psi'(a) - psi'(a + b); those of the sum follow. It is taken for a Gamma distribution with
    the same two (it is exactly that for one Beta(a, 1)), whose quantile is Wilson and Hilferty's (PNAS 17, 1931).
    """
    known = [(beta, exponent) for beta, exponent in factors if exponent]
    mean = math.fsum(w * (_digamma(beta.a + beta.b) - _digamma(beta.a)) for beta, w in known)
    variance = math.fsum(w * w * (_trigamma(beta.a) - _trigamma(beta.a + beta.b)) for beta, w in known)
    ninth = variance / (9 * mean * mean)
    return math.exp(-mean * (1 - ninth + LOWER_SHARE_Z * math.sqrt(ninth)) ** 3)


def _digamma(x: float) -> float:
    """The derivative of ln Gamma for x > 0 (Abramowitz and Stegun 6.3.5 and 6.3.18)."""
    shifted = 0.0
    while x < _SERIES_FROM:
        shifted -= 1 / x
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return shifted + math.log(x) - 0.5 / x - series


def _trigamma(x: float) -> float:
    """The derivative of digamma for x > 0 (Abramowitz and Stegun 6.4.6 and 6.4.12)."""
    shifted = 0.0
    while x < _SERIES_FROM:
        shifted += 1 / (x * x)
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 6 - square * (1 / 30 - square * (1 / 42 - square * (1 / 30 - square * 5 / 66))))
    return shifted + 1 / x + square / 2 + series / x
