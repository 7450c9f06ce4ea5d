"""How sure a rate of rare events is."""

from __future__ import annotations

from scipy.stats import chi2


def poisson_bounds(count: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact central bounds of the expected number, where `count` events were seen.

    F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 1936.

    Args:
        count: events seen, at least 0.
        confidence: with which the expected number lies between the bounds.
    """
    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2
