"""The loop: a source frame's Gaussians drawn in another frame, compared by the published objective.

What the published training has is kept: Adam with betas 0 and 0.99, rates of 1e-4 (1e-5 for the style), both falling
linearly to a tenth, random noise in the decoder, random pairs of frames. New is that the encoder does not learn, so it runs
once for each source frame and its result is kept.

Source: Chu & Harada, "Generalizable and Animatable Gaussian Head Avatar", NeurIPS 2024, and its published code's
training configuration.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bridge.gagavatar import lifting, losses
from bridge.gagavatar.fine_tuning import files
from bridge.gagavatar.fine_tuning.perception import Perception
from bridge.gagavatar.fine_tuning.shots import Shots
from bridge.gagavatar.model import GAGAvatar
from gagjax.errors import InputError

BETAS = (0.0, 0.99)
SLOW = ("style_mlp", "final_linear")  # layers that learn ten times slower
FINAL = 0.1  # fraction of the learning rate at the last step


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a fine-tuning.

    Args:
        steps: Optimiser steps.
        batch: Frames per step.
        sources: Source frames, spread over the film; the encoder's result of each is kept (90 MB at the official size).
        rate: Learning rate of the first step.
        seed: Seed of pairs of frames and of the decoder's noise.
    """

    steps: int = 1000
    batch: int = 1
    sources: int = 4
    rate: float = 1e-4
    seed: int = 0


class FineTuning:
    """An incremental fine-tuning.

    Args:
        network: The network to train, in place; its encoder is frozen.
        shots: The film.
        settings: Settings of the run.
        held_out: Indices of frames that nothing is learned from.
        perception: Networks of the perceptual term, from `perception_of`; without any the term is left out.

    Raises:
        InputError: If the film has other vertices or another size than the network, or too few frames.

    Example:
        >>> run = FineTuning(network, shots, Settings(steps=100))  # doctest: +SKIP
        >>> run.run()  # doctest: +SKIP
        >>> write("mine.pt", run.network, like="GAGAvatar.pt")  # doctest: +SKIP
    """

    def __init__(
        self,
        network: GAGAvatar,
        shots: Shots,
        settings: Settings | None = None,
        held_out: Sequence[int] | np.ndarray = (),
        perception: Sequence[Perception] = (),
    ) -> None:
        self.network, self.shots, self.settings = network, shots.check(), settings or Settings()
        config = network.config
        if shots.vertices.shape[1] != config.vertices:
            raise InputError(
                f"has {shots.vertices.shape[1]} vertices, the network {config.vertices}",
                field="head model",
                fix="Pass FLAME's own mesh with --flame",
            )
        if shots.pictures.shape[1] != config.size:
            raise InputError(f"is {shots.pictures.shape[1]}, the network draws {config.size}", field="size")
        self.held_out = np.asarray(sorted(int(i) for i in held_out), int)
        self.usable = np.setdiff1d(np.arange(len(shots.pictures)), self.held_out)
        if len(self.usable) < 2:
            raise InputError(f"leaves {len(self.usable)} frames to learn from", field="film", fix="Use a longer film")
        few = np.linspace(0, len(self.usable) - 1, min(self.settings.sources, len(self.usable)))
        self.sources = self.usable[np.unique(few.round().astype(int))]
        self.perception = [Perception(part.network.to(network.device), part.weight) for part in perception]
        network.base_model.requires_grad_(False)
        self.trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
        slow = [name for name in self.trained if any(part in name for part in SLOW)]
        groups: list[dict[str, Any]] = [
            {"params": [v for n, v in self.trained.items() if n not in slow], "lr": self.settings.rate},
            {"params": [self.trained[name] for name in slow], "lr": self.settings.rate / 10},
        ]
        self.optimiser = torch.optim.Adam(groups, betas=BETAS)
        self._first = [self.settings.rate, self.settings.rate / 10]
        self.done = 0
        self._identity = self._named()
        self._encoded: dict[int, tuple[Tensor, Tensor]] = {}

    def run(
        self, steps: int | None = None, report: Callable[[FineTuning, dict[str, float]], None] | None = None
    ) -> None:
        """Run optimiser steps.

        Args:
            steps: Number of steps; None runs to the end.
            report: Called after each step with the run and the terms of the objective.
        """
        last = self.settings.steps if steps is None else min(self.done + steps, self.settings.steps)
        while self.done < last:
            terms = self._step()
            self.done += 1
            if report is not None:
                report(self, terms)

    def _step(self) -> dict[str, float]:
        s, device = self.settings, self.network.device
        # Everything random depends only on seed and step: a resumed run continues alike.
        rng = np.random.default_rng([s.seed, self.done])
        targets = rng.choice(self.usable, s.batch)
        sources = [self._source(rng, int(i)) for i in targets]
        generator = torch.Generator(device=device).manual_seed(int(rng.integers(1 << 62)))
        share = FINAL + (1 - FINAL) * (1 - self.done / s.steps)
        for group, rate in zip(self.optimiser.param_groups, self._first, strict=True):
            group["lr"] = rate * share
        features, tokens = (torch.cat(part) for part in zip(*(self._encode(i) for i in sources), strict=True))
        splats, points = self.network.splats_of(features, tokens, self._on(self.shots.transforms[sources]))
        vertices = self._on(self.shots.vertices[targets])
        output = self.network.drive(
            splats, points, vertices, self._on(self.shots.transforms[targets]), "random", generator
        )
        found = losses.objective(
            output,
            self._pictures(targets),
            self._on(self.shots.boxes[targets]),
            lifting.SCALE * vertices,
            self.perception,
        )
        self.optimiser.zero_grad(set_to_none=True)
        found.total.backward()
        self.optimiser.step()
        return {name: float(value.detach()) for name, value in found._asdict().items()}

    def _source(self, rng: np.random.Generator, target: int) -> int:
        """A source that is another frame than the target, where there are two."""
        others = self.sources[self.sources != target]
        return int(rng.choice(others if len(others) else self.sources))

    @torch.no_grad()
    def picture(self, index: int, source: int | None = None) -> Float[Tensor, "S S 3"]:
        """One frame drawn by the network as it is now, with fixed noise.

        Args:
            index: The frame.
            source: The source frame; by default the first of the run's.
        """
        chosen = int(self.sources[0]) if source is None else source
        splats, points = self.network.splats_of(*self._encode(chosen), self._on(self.shots.transforms[[chosen]]))
        vertices, camera = (self._on(part[[index]]) for part in (self.shots.vertices, self.shots.transforms))
        return self.network.drive(splats, points, vertices, camera, "fixed").fine[0]

    def psnr(self, frames: Sequence[int] | np.ndarray) -> float:
        """Mean PSNR in dB of frames drawn from the first source, against the film."""
        found = []
        for i in map(int, frames):
            square = (self.picture(i) - self._pictures([i])[0]).square().mean()
            found.append(-10 * float(torch.log10(square + 1e-12)))
        return float(np.mean(found))

    def save(self, path: str | Path) -> None:
        """Write a checkpoint of the unfinished run, replacing an existing one."""
        weights = {name: value.detach().cpu() for name, value in self.trained.items()}
        state = {
            "name": self._identity,
            "step": self.done,
            "weights": weights,
            "optimiser": self.optimiser.state_dict(),
        }
        files.save_state(path, state)

    def resume(self, path: str | Path) -> None:
        """Go on from a checkpoint as if the run had not been interrupted, bit for bit on the same machine.

        Args:
            path: From `save`.

        Raises:
            InputError: If it is damaged, or of a run with other settings, another film or another network.
        """
        state = files.load_state(path, self._identity)
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(state["weights"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["step"])

    def _encode(self, index: int) -> tuple[Tensor, Tensor]:
        if index not in self._encoded:
            picture = self._pictures([index]).permute(0, 3, 1, 2)
            size = self.network.config.image
            if picture.shape[-2:] != (size, size):
                picture = F.interpolate(picture, (size, size), mode="bilinear", antialias=True)
            with torch.no_grad():
                self._encoded[index] = self.network.base_model(picture)
        return self._encoded[index]

    def _pictures(self, frames: Sequence[int] | np.ndarray) -> Float[Tensor, "B S S 3"]:
        return self._on(self.shots.pictures[np.asarray(frames)]) / 255

    def _on(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.network.device, torch.float32)

    def _named(self) -> str:
        """The identity of a run, which a checkpoint must match."""
        name = hashlib.sha256(repr((self.settings, self.held_out.tolist(), len(self.perception))).encode())
        parts: list[Any] = [np.ascontiguousarray(part) for part in self.shots]
        parts += [value.detach().cpu().contiguous().numpy() for value in self.trained.values()]
        for part in parts:
            name.update(part.tobytes())
        return name.hexdigest()
