"""Count floating-point operations as torch runs them, on any device, the meta device included.

The formulas are torch's: a multiplication and an addition are two operations; matrix products, convolutions and
attentions are counted, the rest (norms, activations, softmax) is a few per cent at most.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

# What a CPU runs; torch's own table knows the kernels of GPUs only.
CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def attention(query, key, value, *args, out_shape=None, **kwargs) -> int:
    """Operations of an attention from the shapes of its inputs."""
    return sdpa_flop_count(query, key, value)


def counter() -> FlopCounterMode:
    """A context manager; ``get_total_flops()`` tells the operations that this thread ran inside it."""
    return FlopCounterMode(display=False, custom_mapping={CPU_ATTENTION: attention})
