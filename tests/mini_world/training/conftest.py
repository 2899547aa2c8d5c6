"""What the tests of all trainings share."""

import dataclasses
import itertools

import pytest
import torch

from mini_world.training import loop


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
