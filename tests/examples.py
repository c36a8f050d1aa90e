"""How many examples a property is tried on."""

from hypothesis import settings

USUAL = 100


def examples(number: int) -> settings:
    """So many examples, and as many times more as the profile `searching` takes."""
    return settings(max_examples=max(1, number * settings().max_examples // USUAL))
