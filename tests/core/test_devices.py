"""Where models run and in which number format: half precision on a GPU unless something else is asked for."""

import pytest
import torch

from ipcir_steps.core.devices import placement


def test_auto_is_half_precision_on_a_gpu_and_full_precision_on_a_cpu():
    assert placement("cuda:1") == (torch.device("cuda:1"), torch.float16)
    assert placement("cpu") == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_what_is_asked_for_is_taken_on_both(name):
    assert placement("cpu", name)[1] is placement("cuda", name)[1] is getattr(torch, name)


def test_auto_takes_a_gpu_when_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert placement("auto") == (torch.device("cuda"), torch.float16)
