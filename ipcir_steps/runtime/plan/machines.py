"""What devices can do: from their data sheets, and the share of it that such models reach."""

import dataclasses
import shutil
import subprocess


@dataclasses.dataclass(frozen=True)
class Machine:
    """One GPU, or one core of a CPU.

    memory: bytes; half, single: operations a second in 16 and 32 bits, dense, by the data sheet; bandwidth: bytes a
    second; reached: the share of ``half`` (or ``single``) that convolutions and attentions are assumed to reach;
    read: the share of the bandwidth when weights are read for every token.
    """

    name: str
    title: str
    memory: float
    half: float
    single: float
    bandwidth: float
    reached: float
    read: float = 0.6

    def seconds(self, operations: float, weights: float, passes: float, half: bool = True) -> float:
        """Of ``passes`` forward passes that do ``operations`` in all and read ``weights`` bytes each time."""
        speed = (self.half if half else self.single) * self.reached
        return max(operations / speed, passes * weights / (self.bandwidth * self.read))


GB, TERA = 1e9, 1e12
# ``reached``: from the measurements of Stable Diffusion 1.5 at 512 px in the documentation of diffusers 0.17 (float16,
# 4 images, not compiled; a step of one image has 1.61e12 operations): A100 11.6 steps/s, so 0.24; RTX 4090 12.6, so
# 0.49; RTX 3090 6.5, and the A6000 has the same chip, a tenth faster: 0.29; T4 1.8, so 0.18, taken for the L4 as well.
# The H100 is taken for twice as fast as the A100; the core is measured in docs/rehearsal.md.
MACHINES = {
    machine.name: machine
    for machine in (
        Machine("a6000", "NVIDIA RTX A6000", 48 * GB, 154.8 * TERA, 38.7 * TERA, 768e9, 0.29),
        Machine("a100", "NVIDIA A100 80 GB", 80 * GB, 312 * TERA, 19.5 * TERA, 2039e9, 0.24),
        Machine("h100", "NVIDIA H100 80 GB", 80 * GB, 989 * TERA, 66.9 * TERA, 3350e9, 0.15),
        Machine("l4", "NVIDIA L4", 24 * GB, 121 * TERA, 30.3 * TERA, 300e9, 0.18),
        Machine("4090", "NVIDIA RTX 4090", 24 * GB, 165.2 * TERA, 82.6 * TERA, 1008e9, 0.49),
        Machine("core", "one CPU core", 8 * GB, 0.16 * TERA, 0.16 * TERA, 10e9, 0.25),
    )
}
DEFAULT = "a6000"


def here() -> str:
    """The machine of this table that this one has; the default where it has none, or one that is not in the table."""
    if not shutil.which("nvidia-smi"):
        return DEFAULT
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.lower()
    return next((name for name in MACHINES if name in found.replace(" ", "")), DEFAULT)
