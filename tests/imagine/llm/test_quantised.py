"""Chat models whose weights are stored as GPTQ or AWQ: read where gptqmodel is installed, else the extra is named."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ipcir_steps.config.language import LLM
from ipcir_steps.core.errors import ModelError
from ipcir_steps.imagine.llm import Group, open_llm
from ipcir_steps.imagine.llm.local import quantised

GROUP, AWQ_ORDER = 32, (0, 2, 4, 6, 1, 3, 5, 7)
CONFIGS = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": GROUP, "desc_act": False, "sym": True},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True},
}
INSTALLED = importlib.util.find_spec("gptqmodel") is not None


def packed(columns: torch.Tensor, order=range(8)) -> torch.Tensor:
    """[R, 8 C] numbers of 0 to 15 as [R, C] int32."""
    eights = columns.long().unflatten(1, (-1, 8))
    whole = sum(eights[..., column] << 4 * place for place, column in enumerate(order))
    return torch.where(whole >= 2**31, whole - 2**32, whole).int().contiguous()


def quantise(source: Path, target: Path, method: str) -> tuple[Path, Path]:
    """(the model in ``source`` with its projections in 4 bits, the same numbers as float32)."""
    tensors, rounded, config = {}, {}, json.loads((source / "config.json").read_text())
    for key, weight in load_file(source / "model.safetensors").items():
        if not key.endswith("_proj.weight"):
            tensors[key] = rounded[key] = weight
            continue
        stem, (out, width) = key.removesuffix("weight"), weight.shape
        groups = weight.float().reshape(out, -1, GROUP)
        scales = (groups.abs().amax(2) / 7).half()
        levels = (groups / scales[..., None].float()).round().clamp(-8, 7) + 8
        rounded[key] = ((levels - 8) * scales[..., None].float()).reshape(out, width)
        levels = levels.reshape(out, width).T  # [width, out]
        tensors[f"{stem}scales"] = scales.T.contiguous()
        shape = (width // GROUP, out // 8)
        if method == "gptq":
            tensors[f"{stem}qweight"] = packed(levels.T).T.contiguous()
            tensors[f"{stem}qzeros"] = torch.full(shape, 0x77777777, dtype=torch.int32)  # one less than the middle
            tensors[f"{stem}g_idx"] = torch.arange(width, dtype=torch.int32) // GROUP
        else:
            tensors[f"{stem}qweight"] = packed(levels, AWQ_ORDER)
            tensors[f"{stem}qzeros"] = torch.full(shape, 0x88888888 - 2**32, dtype=torch.int32)
    made = []
    for name, weights in (("quantised", tensors), ("rounded", rounded)):
        made.append(target / name)
        made[-1].mkdir()
        for file in source.iterdir():
            (made[-1] / file.name).write_bytes(file.read_bytes())
        save_file(weights, made[-1] / "model.safetensors", {"format": "pt"})
    (made[0] / "config.json").write_text(json.dumps({**config, "quantization_config": CONFIGS[method]}))
    return tuple(made)


def answers(path: Path) -> list[list[str]]:
    groups = [Group([[{"role": "user", "content": f"a red circle, number {n}"}]], n) for n in range(3)]
    return open_llm(LLM(max_new_tokens=12, temperature=0), path, None).answer(groups)


@pytest.mark.skipif(not INSTALLED, reason="needs gptqmodel")
@pytest.mark.parametrize("method", CONFIGS)
def test_quantised_weights_answer_as_the_numbers_they_stand_for(tmp_path, llm, method):
    stored, rounded = quantise(llm, tmp_path, method)
    with torch.compiler.set_stance("force_eager"):  # gptqmodel compiles its layers, for minutes on a CPU
        assert answers(stored) == answers(rounded)


@pytest.mark.skipif(INSTALLED, reason="gptqmodel is installed")
@pytest.mark.parametrize("method", CONFIGS)
def test_the_extra_is_named_where_it_is_not_installed(tmp_path, llm, method):
    stored, rounded = quantise(llm, tmp_path, method)
    with pytest.raises(ModelError, match=r"quantised \(" + method + r"\): pip install 'ipcir\[quantised\]'"):
        answers(stored)
    assert quantised(stored) and not quantised(rounded)
