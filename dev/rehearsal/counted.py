"""Run one command of ``ipcir`` and count the operations of its matrix products, convolutions and attentions.

python -m dev.rehearsal.counted OPERATIONS.json captions --references …
"""

import json
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    from ipcir_steps.cli import main as ipcir
    from ipcir_steps.runtime.plan.counting import Counter

    with Counter() as counted:
        code = ipcir(argv[1:])
    Path(argv[0]).write_text(json.dumps(counted.total))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
