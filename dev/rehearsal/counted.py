"""Run one command of ``ipcir`` and count the operations of its matrix products, convolutions and attentions.

python -m dev.rehearsal.counted COUNTS.json captions --references …
"""

import collections
import json
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Writes {operations, tokens}: tokens are those that a language model read, its own among them."""
    from ipcir_steps.cli import main as ipcir
    from ipcir_steps.runtime.plan.counting import Counter

    tokens = tokens_by_vocabulary()
    with Counter() as counted:
        code = ipcir(argv[1:])
    read = tokens[max(tokens)] if tokens else 0
    Path(argv[0]).write_text(json.dumps({"operations": counted.total, "tokens": read}))
    return code


def tokens_by_vocabulary() -> dict[int, int]:
    """{size of a vocabulary: tokens that its embedding was asked for}, filled while models run."""
    import torch

    found: dict[int, int] = collections.Counter()

    def look(module, inputs):
        if isinstance(module, torch.nn.Embedding):
            found[module.num_embeddings] += inputs[0].numel()

    torch.nn.modules.module.register_module_forward_pre_hook(look)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
