"""Operations of what torch runs, fused or not."""

import torch

from ipcir_steps.runtime.plan.counting import Counter


def test_fused_attention_counts_like_its_parts():
    """In evaluation mode torch runs the projections and the attention of ``MultiheadAttention`` as one operation."""
    layer = torch.nn.MultiheadAttention(32, 4, batch_first=True).eval()
    tokens, rows, width = 7, 3, 32
    values = torch.randn(rows, tokens, width)
    with torch.inference_mode(), Counter() as counter:
        layer(values, values, values, need_weights=False)
    assert "_native_multi_head_attention" in counter.kinds
    parts = 4 * 2 * rows * tokens * width * width + 2 * 2 * rows * tokens * tokens * width
    assert counter.total == parts


def test_the_meta_device_counts_the_same():
    def run(device):
        layer = torch.nn.MultiheadAttention(32, 4, batch_first=True, device=device).eval()
        values = torch.randn(2, 5, 32, device=device)
        with torch.inference_mode(), Counter() as counter:
            layer(values, values, values, need_weights=False)
        return counter.total

    assert run("cpu") == run("meta") > 0
