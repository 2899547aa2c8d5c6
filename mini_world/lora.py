"""Low-rank updates (LoRA, Hu et al. 2021) of the mini world's U-Net, in the layout of diffusers."""

from pathlib import Path

import torch
from torch import Tensor, nn

RANK = 16
FILE = "pytorch_lora_weights.safetensors"  # as diffusers names it
# The layers that the published LCM-LoRA of Stable Diffusion updates.
LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"),
)


class LoRA(nn.Module):
    """The update up @ down of each weight; zero at first. A convolution's ``up`` has kernels of one pixel.

    network: the U-Net. Keys of the state: ``down.{layer}`` and ``up.{layer}``, with ``-`` for ``.`` in the layer.
    """

    def __init__(self, network: nn.Module, rank: int = RANK):
        super().__init__()
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name, layer in network.named_modules():
            if name.endswith(LAYERS) and isinstance(layer, nn.Linear | nn.Conv2d):
                out, *rest = layer.weight.shape
                down = torch.empty(rank, *rest)
                nn.init.kaiming_uniform_(down, a=5**0.5)
                self.down[name.replace(".", "-")] = nn.Parameter(down)
                self.up[name.replace(".", "-")] = nn.Parameter(torch.zeros(out, rank, *[1] * (len(rest) - 1)))

    def updated(self, network: nn.Module) -> dict[str, Tensor]:
        """The updated weights of the network by their names, for ``torch.func.functional_call``."""
        weights = {}
        for key, down in self.down.items():
            name = key.replace("-", ".")
            weight = network.get_submodule(name).weight
            weights[f"{name}.weight"] = weight + (self.up[key].flatten(1) @ down.flatten(1)).view(weight.shape)
        return weights

    def save(self, path: Path) -> None:
        """A directory that ``load_lora_weights`` of diffusers reads."""
        from safetensors.torch import save_file

        values = {}
        for key, down in self.down.items():
            name = key.replace("-", ".")
            values[f"unet.{name}.lora_A.weight"] = down.detach().contiguous()
            values[f"unet.{name}.lora_B.weight"] = self.up[key].detach().contiguous()
        path.mkdir(parents=True, exist_ok=True)
        save_file(values, path / FILE, metadata={"format": "pt"})
