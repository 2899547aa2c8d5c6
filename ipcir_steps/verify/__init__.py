"""Verification: the first candidates of each list are looked at by a model, and the list is ranked again.

A judge gives each candidate log-odds of being what was asked for (``judges``); ``combine`` mixes them with the
ranking's own scores.
"""
