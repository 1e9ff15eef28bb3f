"""Checkpoints: the fine-tuned network with every key of the file it began with, and the state of an unfinished run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bridge.gagavatar import checkpoint
from gagjax.errors import InputError
from gagjax.io import atomic
from gagjax.io.untrusted.state_dicts import without_prefix


def whole(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint with the keys of the perceptual networks, wrappers' prefixes removed.

    Args:
        path: A file that `checkpoint.read` accepts.

    Raises:
        InputError: As from `checkpoint.read`.
    """
    checkpoint.read(path)
    return without_prefix(dict(_state(_content(path))))


def write(path: str | Path, network: nn.Module, like: str | Path, *, force: bool = False) -> None:
    """Write a network as a checkpoint with the keys, the order and the further content of another file.

    Keys that the network does not have (`percep_loss.*`, `meta_cfg`) are copied, so the original's strict loader reads
    the file, too. Weights are written as float32.

    Args:
        path: The file to write.
        network: The network.
        like: The checkpoint that it came from.
        force: Replace an existing file.

    Raises:
        InputError: If `path` exists and `force` is False, or `like` is no such checkpoint.
    """
    checkpoint.read(like)
    content = _content(like)
    state = _state(content)
    named = dict(zip(state, without_prefix(dict(state)), strict=True))
    own = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    new = {key: own.get(named[key], value) for key, value in state.items()}
    if state is content:
        content = new
    else:
        content = {key: new if value is state else value for key, value in content.items()}
    with atomic.output(path, force) as temporary:
        torch.save(content, temporary)


def save_state(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write the state of an unfinished run, replacing an older one; plain tensors, numbers and names."""
    with atomic.output(path, True) as temporary:
        torch.save(dict(state), temporary)


def load_state(path: str | Path, name: str) -> dict[str, Any]:
    """The state of an unfinished run.

    Args:
        path: From `save_state`.
        name: The identity that the run must have.

    Raises:
        InputError: If the file is damaged, or of another run.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on malformed bytes the restricted unpickler can raise any exception
        raise InputError("is damaged", file=path, fix="Remove it and begin again") from error
    if not isinstance(state, dict) or state.get("name") != name:
        raise InputError(
            "is of a run with other settings, another film or another checkpoint", file=path, fix="Remove it"
        )
    return state


def _content(path: str | Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _state(content: dict[str, Any]) -> dict[str, Any]:
    for name in ("model", "state_dict"):
        content = content.get(name, content) if isinstance(content, Mapping) else content
    return content
