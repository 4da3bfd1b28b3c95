"""The number of examples that property tests draw."""

from hypothesis import settings

settings.register_profile("thorough", max_examples=1000, deadline=None)


def scaled(examples: int) -> int:
    """Return the number of examples, ten times as many under ``--hypothesis-profile thorough``."""
    return max(1, examples * settings().max_examples // 100)
