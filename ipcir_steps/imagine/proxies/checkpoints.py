"""Read the published MIGC and MIGC++ checkpoints into attention processors of a diffusers U-Net."""

import re
from collections import defaultdict
from pathlib import Path

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from ipcir_steps.core.checkpoints import read_checkpoint
from ipcir_steps.core.errors import ModelError
from ipcir_steps.imagine.proxies.migc import MIGC, MIGCPlus
from ipcir_steps.imagine.proxies.processors import MIGCProcessor, Stage, TwinProcessor

BLOCKS = ("mid_block.attentions.0", *(f"up_blocks.1.attentions.{n}" for n in range(3)))
LAYER = ".transformer_blocks.0.attn2"


def install(unet: UNet2DConditionModel) -> Stage:
    """Give every cross-attention of the U-Net a processor that knows layouts; return what steers them."""
    stage = Stage()
    processors = dict(unet.attn_processors)
    for name in processors:
        if name.endswith("attn2.processor"):
            processors[name] = MIGCProcessor(stage)
    first = next(iter(processors))
    if first.startswith("down_blocks") and first.endswith("attn1.processor"):
        plain = processors[first]
        processors[first] = TwinProcessor(stage, plain.plain if isinstance(plain, TwinProcessor) else plain)
    unet.set_attn_processor(processors)
    return stage


def load_migc(unet: UNet2DConditionModel, checkpoint: str | Path) -> Stage:
    """Install the processors with the MIGC blocks of ``MIGC_SD14.ckpt`` or ``MIGC++_SD14.ckpt``.

    The key layout tells which of the two it is. Raises ModelError listing missing, unexpected and misshapen keys, and
    for a U-Net that the checkpoint was not made for.
    """
    values = read_checkpoint(checkpoint)
    grouped = group(values, checkpoint)
    kind = MIGCPlus if any("gamma" in keys for keys in grouped.values()) else MIGC
    if missing := [block for block in BLOCKS if block not in grouped]:
        raise ModelError(f"{checkpoint}: missing blocks: {', '.join(missing)}. Fetch the published file again.")
    if unexpected := sorted(set(grouped) - set(BLOCKS)):
        raise ModelError(f"{checkpoint}: unexpected blocks: {', '.join(unexpected)}.")
    blocks = {}
    for name, tensors in grouped.items():
        try:
            attention = unet.get_submodule(name + LAYER)
        except AttributeError:
            raise ModelError(f"{checkpoint}: the base model has no {name}; it is not Stable Diffusion 1.x.") from None
        first = tensors.get("pos_net.linears_position.0.weight")
        width = 512 if first is None or not first.ndim else len(first)
        block = kind(attention.to_q.in_features, context_dim=attention.to_k.in_features, position_width=width)
        check_fit(block, tensors, f"{checkpoint}: {name}", "Is the base model Stable Diffusion 1.x?")
        block.load_state_dict(tensors)
        blocks[name] = block.to(device=attention.to_q.weight.device, dtype=attention.to_q.weight.dtype).eval()
    stage = install(unet)
    for name, block in blocks.items():
        unet.get_submodule(name + LAYER).processor.migc = block
    return stage


def group(values: dict, checkpoint: str | Path) -> dict[str, dict[str, Tensor]]:
    """{diffusers block: {key of the MIGC block: tensor}} of either published key layout."""
    grouped: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, tensor in values.items():
        head, separator, subkey = str(key).partition(".migc.")
        block = diffusers_block(head)
        if not separator or block is None:
            raise ModelError(f"{checkpoint}: unexpected key {key!r}; this is not a MIGC or MIGC++ checkpoint.")
        grouped[block][subkey] = tensor
    return grouped


def diffusers_block(head: str) -> str | None:
    """Translate ``model.diffusion_model.output_blocks.3.1…`` (MIGC) or take ``up_blocks.1.attentions.0…`` (MIGC++).

    >>> diffusers_block("model.diffusion_model.output_blocks.4.1.transformer_blocks.0.attn2")
    'up_blocks.1.attentions.1'
    """
    if match := re.match(r"((?:mid_block|(?:up|down)_blocks\.\d+)\.attentions\.\d+)\.", head):
        return match[1]
    match = re.match(r"model\.diffusion_model\.(input|middle|output)_blocks?\.(\d+)\.", head)
    if match is None:
        return None
    number = int(match[2])
    return {
        "input": f"down_blocks.{number // 3}.attentions.{number % 3 - 1}",
        "middle": "mid_block.attentions.0",
        "output": f"up_blocks.{number // 3}.attentions.{number % 3}",
    }[match[1]]


def check_fit(module: nn.Module, tensors: dict[str, Tensor], where: str, hint: str) -> None:
    """Raises ModelError listing the keys that are missing, unexpected or of another shape."""
    wanted = module.state_dict()
    problems = [f"missing {key}" for key in wanted if key not in tensors]
    problems += [f"unexpected {key}" for key in tensors if key not in wanted]
    problems += [
        f"{key} has shape {list(tensors[key].shape)} instead of {list(value.shape)}"
        for key, value in wanted.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if problems:
        raise ModelError(f"{where}: {'; '.join(problems[:8])}{' …' if len(problems) > 8 else ''}. {hint}")
