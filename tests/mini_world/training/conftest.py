"""What the tests of all trainings share."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from mini_world import render
from mini_world.training import loop, pool, prompts

SEED = 7  # not the one that the shipped weights were trained with


def drawn_pairs(count: int) -> np.ndarray:
    """The beginning of the pool: uint8 [count, 2, 64, 64, 3]."""
    return np.array([[np.asarray(render.draw(picture)) for picture in pair[:2]] for pair in pool.pairs(SEED, count)])


@pytest.fixture(scope="module")
def images():
    return drawn_pairs(12)


@pytest.fixture(scope="module")
def words():
    return prompts.Prompts(SEED)


@pytest.fixture(autouse=True)
def one_thread():
    """As the rule trains: with several threads sums do not always come out the same to the last bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def killed_and_resumed(tmp_path, monkeypatch):
    """Function (make, seed, step): the weights of a run that is killed in that step and started again.

    make() builds the recipe anew, as a new process does.
    """

    def run(make, seed: int, step: int):
        monkeypatch.setattr(loop, "SAVE_EVERY", -1)
        recipe, steps = make(), itertools.count(1)

        def dies(generator):
            if next(steps) == step:
                raise KeyboardInterrupt
            return recipe.loss(generator)

        with pytest.raises(KeyboardInterrupt):
            loop.train(dataclasses.replace(recipe, loss=dies), tmp_path / "killed", seed)
        return loop.train(make(), tmp_path / "killed", seed)

    return run
