"""Read the official checkpoint safely and strictly, with precise error messages.

The file holds the network under `model` and also a loss network (`percep_loss.*`) used only in training, which is
ignored. All other keys and shapes must match the network exactly.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gagjax.errors import InputError
from gagjax.io.untrusted.state_dicts import without_prefix

IGNORED = "percep_loss."
LISTED = 8  # names spelled out in a message before "and n more"
ASK = "Pass the official GAGAvatar.pt, or a file written by torch.save({'model': model.state_dict()})"


def read(path: str | Path, *, ask: str = ASK) -> dict[str, Tensor]:
    """The state dict in a checkpoint file, on the CPU, without the loss network.

    Args:
        path: A file written by `torch.save`: a state dict, or a dict that holds one under `model` or `state_dict`. A
            prefix common to all keys, as written by `DataParallel` and `torch.compile`, is removed.
        ask: The action suggested in error messages.

    Raises:
        InputError: If it is missing, is not such a file, or holds anything but plain data: a file that requests code
            execution is refused and nothing in it is executed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("there is no such file", file=path, fix=ask)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unusual pickle protocols, which cause an error below
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on malformed bytes the restricted unpickler can raise any exception
        asked = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if asked:
            problem = f"refused: it asks for {asked[1]} to be run, and nothing in it was executed"
            raise InputError(problem, file=path, fix=ask) from error
        raise InputError("is damaged, or is no PyTorch file", file=path, fix=ask) from error
    state = found
    for name in ("model", "state_dict"):
        state = state.get(name, state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping) or not state:
        raise InputError("holds no state dict", file=path, fix=ask)
    odd = [str(key) for key, value in state.items() if not isinstance(value, Tensor)]
    if odd:
        raise InputError(f"entries that are no tensors: {_listed(odd)}", file=path, field="model", fix=ask)
    named = without_prefix({str(key): value for key, value in state.items()})
    return {key: value for key, value in named.items() if not key.startswith(IGNORED)}


def fill(network: nn.Module, state: Mapping[str, Tensor], *, file: str | Path | None = None) -> None:
    """Load a state dict into a network, strictly and as float32.

    Args:
        network: The network; parameters on the meta device are replaced, so nothing is allocated twice.
        state: From `read`.
        file: Its file, for the message.

    Raises:
        InputError: Listing all missing keys, unexpected keys and keys with a wrong shape.
    """
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in state]
    extra = [key for key in state if key not in wanted]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    kinds = [key for key in wanted if key in state and not state[key].is_floating_point()]
    problems = [
        f"{len(found)} {name}: {_listed(found)}"
        for name, found in (
            ("missing", missing),
            ("unexpected", extra),
            ("of a wrong shape", shapes),
            ("not floating-point", kinds),
        )
        if found
    ]
    if problems:
        raise InputError(f"does not fit the network's {len(wanted)} keys; " + "; ".join(problems), file=file, fix=ASK)
    network.load_state_dict({key: state[key].float() for key in wanted}, strict=True, assign=True)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
