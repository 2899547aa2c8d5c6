"""A world of features with known noise, as the tests of evaluation have it."""

from tests.evaluate.conftest import noisy, options

__all__ = ["noisy", "options"]
