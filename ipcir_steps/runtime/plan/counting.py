"""Count floating-point operations as torch runs them, on any device, the meta device included.

The formulas are torch's: a multiplication and an addition are two operations; matrix products, convolutions and
attentions are counted, the rest (norms, activations, softmax) is a few per cent at most.
"""

import collections

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count


def attention(query, key, value, *args, out_val=None, **kwargs) -> int:
    """Operations of an attention from its inputs."""
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def product(left, *args, out_val, **kwargs) -> int:
    """Operations of a matrix product over the last axis of ``left``."""
    return 2 * out_val.numel() * left.shape[-1]


def heads(query, key, value, width, *args, out_val=None, **kwargs) -> int:
    """Operations of torch's fused ``MultiheadAttention``, its four projections included: open_clip's on a CPU."""
    (rows, tokens, _), others = query.shape, key.shape[1]
    projections = 2 * width * width * rows * (2 * tokens + 2 * others)
    return projections + 4 * rows * tokens * others * width


# torch's own table, and what it does not know: the attention that a CPU runs, and products of any number of axes, which
# would be taken apart otherwise; torch then copies the weights for every row of a batch that is not contiguous.
FORMULAS = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
    torch.ops.aten._native_multi_head_attention: heads,
    torch.ops.aten.linear: product,
    torch.ops.aten.matmul: product,
}


class Counter(TorchDispatchMode):
    """While active, counts the operations of this thread: in all, and by kind.

    ``torch.utils.flop_counter.FlopCounterMode`` also follows modules, which fails on BLIP-2 in inference mode.
    """

    def __init__(self):
        super().__init__()
        self.kinds: dict[str, int] = collections.Counter()

    @property
    def total(self) -> int:
        return sum(self.kinds.values())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        formula = FORMULAS.get(getattr(func, "_overloadpacket", None))
        if formula is None and isinstance(func, torch._ops.OpOverload) and func is not torch.ops.prim.device.default:
            with self:  # in inference mode compound functions arrive whole
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            self.kinds[func._overloadpacket.__name__] += formula(*args, **kwargs, out_val=result)
        return result
