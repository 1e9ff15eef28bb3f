"""How large the suite's problems are, where they run, and the state of both frameworks that all parts rely on."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple

Device = Literal["cuda", "cpu"]
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Settings:
    """One run of the suite.

    Args:
        device: "cuda", or "cpu" for the twins.
        tiny: Toy sizes, so that the code runs in seconds on a CPU.
        shared: Folder with the golden numbers (`upstream/golden_v1.npz`), or None where there is none.
    """

    device: Device = "cuda"
    tiny: bool = False
    shared: Path | None = None

    @property
    def cuda(self) -> bool:
        """Whether a card is used."""
        return self.device == "cuda"

    def size(self, full: Any, tiny: Any) -> Any:
        """The value for a card, or for a twin."""
        return tiny if self.tiny else full


def find_shared(given: Path | None) -> Path | None:
    """The folder of golden numbers: the one given, else `shared` inside the checkout, else the one beside it."""
    candidates = [given] if given else [REPOSITORY / "shared", REPOSITORY.parent / "shared"]
    return next((path for path in candidates if (path / "upstream" / "golden_v1.npz").is_file()), None)


def prepare_environment(device: Device) -> None:
    """Environment variables that must be set before JAX and torch start: memory shared by both, cards by one number."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch needs memory on the same card
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ["JAX_PLATFORMS"] = "cuda,cpu" if device == "cuda" else "cpu"


def prepare_frameworks(settings: Settings) -> None:
    """Float32 means float32: TF32 off in torch; and the devices that were asked for are really there.

    Raises:
        RuntimeError: If torch or JAX does not see a card and one is needed.
    """
    import jax
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if settings.cuda:
        if not torch.cuda.is_available():
            raise RuntimeError(f"torch {torch.__version__} sees no CUDA device")
        if jax.default_backend() != "gpu":
            raise RuntimeError(f"JAX {jax.__version__} runs on {jax.default_backend()}, not on the card")
        # The card's own architecture only: gsplat's build is several times shorter.
        major, minor = torch.cuda.get_device_capability()
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", f"{major}.{minor}")


class Card(NamedTuple):
    """A card that both frameworks can use.

    Attributes:
        name: Its name.
        capability: Its architecture, such as "9.0".
        text: Name, memory and driver, for the table.
    """

    name: str
    capability: str
    text: str


_LOOK = """
import torch, jax
if torch.cuda.is_available() and jax.default_backend() == "gpu":
    made = torch.cuda.get_device_properties(0)
    print(made.name, f"{made.major}.{made.minor}", f"{made.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}", sep="|")
"""


def card() -> Card | None:
    """The card, or None. Another process looks, so that no framework starts in this one."""
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK], capture_output=True, text=True, env=environment, timeout=90
        )
    except subprocess.TimeoutExpired:
        return None
    for line in done.stdout.splitlines():
        if line.count("|") == 2:
            name, capability, more = line.split("|")
            return Card(name, capability, f"{name}, {more}")
    return None
