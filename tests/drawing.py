"""How many examples the tests of properties draw."""

from hypothesis import settings

settings.register_profile("thorough", max_examples=1000, deadline=None)


def scaled(examples: int) -> int:
    """Return so many, or ten times as many with ``--hypothesis-profile thorough``."""
    return max(1, examples * settings().max_examples // 100)
