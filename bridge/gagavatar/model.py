"""The whole network: portrait to Gaussians, Gaussians to image.

Public methods use images (..., H, W, 3) in [0, 1] and vertices in metres; internally, PyTorch's NCHW and GAGAvatar's
units (metres times 5) are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bridge.gagavatar import checkpoint, handover, lifting
from bridge.gagavatar.config import Config
from bridge.gagavatar.decoder import Noise, StyleUNet
from bridge.gagavatar.dpt import Encoder
from bridge.gagavatar.heads import HeadOutput, PlaneHead, VertexHead
from bridge.gagavatar.identity import Identity
from gagjax.errors import InputError
from gagjax.typing import AnyArray


class Output(NamedTuple):
    """Outputs for a training step.

    Attributes:
        coarse: The first three rasterized channels, (B, H, W, 3); supervised directly, though unbounded.
        fine: The decoded image, (B, H, W, 3), in (0, 1).
        points: The lifted points of the plane, (B, M, 3), GAGAvatar units.
    """

    coarse: Float[Tensor, "B H W 3"]
    fine: Float[Tensor, "B H W 3"]
    points: Float[Tensor, "B M 3"]


class GAGAvatar(nn.Module):
    """GAGAvatar: a Gaussian head avatar from one portrait, driven by FLAME vertices and a camera.

    Attribute names match the keys of the official checkpoint.

    Args:
        config: Network sizes; the default is the official configuration.

    Example:
        >>> model = GAGAvatar.from_checkpoint("GAGAvatar.pt")  # doctest: +SKIP
        >>> identity = model.encode(portrait, transform)  # doctest: +SKIP
        >>> frames = model.render(identity, vertices, transforms)  # doctest: +SKIP

    Source: Chu & Harada, "Generalizable and Animatable Gaussian Head Avatar", NeurIPS 2024.
    """

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config or Config()
        self.head_base = nn.Parameter(torch.randn(self.config.vertices, self.config.plane_channels))
        self.base_model = Encoder(self.config)
        self.gs_generator_g = VertexHead(self.config)
        self.gs_generator_l0 = PlaneHead(self.config)
        self.gs_generator_l1 = PlaneHead(self.config)
        self.upsampler = StyleUNet(self.config)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, device: torch.device | str | None = None, config: Config | None = None
    ) -> GAGAvatar:
        """The network with weights from a file, ready for inference.

        Args:
            path: `GAGAvatar.pt`. Read with `weights_only=True`; keys of the loss network (`percep_loss.*`) are ignored.
            device: Target device; by default a CUDA device if there is one, else the CPU.
            config: Network sizes, if not the official ones.

        Raises:
            InputError: If the file is missing, damaged, requests code execution, or its keys or shapes do not match:
                the message lists them.
        """
        state = checkpoint.read(path)
        with torch.device("meta"):  # no allocation or initialisation of values that are replaced at once
            model = cls(config)
        checkpoint.fill(model, state, file=path)
        return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.head_base.device

    def splats(
        self, image: Float[Tensor, "B 3 S S"], transforms: Float[Tensor, "B 3 4"]
    ) -> tuple[HeadOutput, Float[Tensor, "B M 3"]]:
        """All Gaussians of a batch of portraits, differentiably.

        Args:
            image: Portraits in [0, 1], at the encoder's size.
            transforms: Their cameras `[R | t]`.

        Returns:
            Colours, opacities, scales and raw quaternions of the V + M Gaussians (vertices, plane lifted away from the
            camera, plane lifted towards it), and the means of the last M.
        """
        features, token = self.base_model(image)
        return self.splats_of(features, token, transforms)

    def splats_of(
        self, features: Float[Tensor, "B D P P"], token: Float[Tensor, "B E"], transforms: Float[Tensor, "B 3 4"]
    ) -> tuple[HeadOutput, Float[Tensor, "B M 3"]]:
        """As `splats`, from what the encoder has made of the portraits: with a frozen encoder that is computed once.

        Args:
            features: The encoder's feature plane.
            token: Its global feature.
            transforms: The portraits' cameras `[R | t]`.

        Returns:
            As `splats`.
        """
        points, directions = lifting.plane(transforms, self.config.plane)
        vertex = torch.cat(
            [self.head_base.expand(len(token), -1, -1), token[:, None].expand(-1, self.config.vertices, -1)], -1
        )
        parts = (
            self.gs_generator_g(vertex, directions),
            self.gs_generator_l0(features, directions),
            self.gs_generator_l1(features, directions),
        )
        lifted = torch.cat(
            [
                lifting.lift(points, directions, parts[1].positions, +1),
                lifting.lift(points, directions, parts[2].positions, -1),
            ],
            1,
        )
        return HeadOutput(*(torch.cat(group, 1) for group in zip(*(part[:4] for part in parts), strict=True))), lifted

    @torch.no_grad()
    def encode(
        self, image: AnyArray | Tensor, transform: AnyArray | Tensor, shape: AnyArray | Tensor | None = None
    ) -> Identity:
        """Encode one portrait into Gaussians: the slow step, once per identity.

        Args:
            image: The tracker's crop, black outside the head, (H, W, 3): floats in [0, 1] or uint8.
            transform: Its tracked camera, `[R | t]`, (3, 4).
            shape: FLAME shape, (300,), kept with the identity.

        Raises:
            InputError: If the image or the camera has another shape, or values that are not finite.
        """
        picture = self._tensor(image, "image", (None, None, 3))
        if not isinstance(image, Tensor):
            image = np.asarray(image)
        if image.dtype in (torch.uint8, np.uint8):
            picture = picture / 255
        camera = self._tensor(transform, "transform", (3, 4))
        size = self.config.image
        picture = picture.permute(2, 0, 1)[None]
        if picture.shape[-2:] != (size, size):
            picture = F.interpolate(picture, (size, size), mode="bilinear", antialias=True)
        splats, points = self.splats(picture, camera[None])
        return Identity(
            points=points[0],
            scales=splats.scales[0],
            quaternions=splats.quaternions[0],
            opacities=splats.opacities[0, :, 0],
            features=splats.colors[0],
            transform=camera,
            shape=None if shape is None else self._tensor(shape, "shape", (None,)),
        )

    def gaussians(self, identity: Identity, vertices: AnyArray | Tensor) -> Any:
        """The Gaussians of one frame, as `bridge.Gaussians` (JAX arrays), in GAGAvatar units.

        Args:
            identity: From `encode`.
            vertices: FLAME vertices of the frame, (V, 3), metres.
        """
        return handover.place(handover.resting(identity), vertices)

    @torch.no_grad()
    def decode(
        self, features: AnyArray | Tensor, noise: Noise = "fixed", *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "... H W 3"]:
        """Decode rasterized features to images.

        Args:
            features: Over black, (..., H, W, C): a tensor, or a JAX array, which is passed without a copy.
            noise: "fixed": the maps stored in the checkpoint, so frames are bit-reproducible and do not flicker.
                "random": new maps per call, as in the original. "zero": none.
            generator: Source of the random noise.
        """
        tensor = features if isinstance(features, Tensor) else handover.to_torch(features)
        tensor = tensor.to(self.device)
        batch = tensor.reshape(-1, *tensor.shape[-3:]).permute(0, 3, 1, 2)
        pictures = self.upsampler(batch, noise, generator).permute(0, 2, 3, 1)
        return pictures.reshape(*tensor.shape[:-1], 3)

    def render(
        self,
        identity: Identity,
        vertices: AnyArray | Tensor,
        transform: AnyArray | Tensor,
        noise: Noise = "fixed",
        *,
        batch: int = 1,
        backend: str = "auto",
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "... H W 3"]:
        """Render images of an identity.

        Args:
            identity: From `encode`.
            vertices: FLAME vertices, (V, 3) or (T, V, 3), metres.
            transform: Cameras `[R | t]`, (3, 4) or (T, 3, 4).
            noise: As in `decode`.
            batch: Frames decoded together; changes the speed, not the frames.
            backend: As in `bridge.rasterize`.
            generator: Source of the random noise.

        Raises:
            InputError: If the vertices are not those of FLAME's own mesh.
        """
        vertices, transform = np.asarray(vertices, np.float32), np.asarray(transform, np.float32)
        if vertices.shape[-2:] != (self.config.vertices, 3):
            raise InputError(
                f"has shape {vertices.shape}, expected (..., {self.config.vertices}, 3)",
                field="vertices",
                fix="GAGAvatar is made for FLAME's own mesh",
            )
        single = vertices.ndim == 2 and transform.ndim == 2
        frames = max(len(v) if v.ndim == 3 else 1 for v in (vertices, transform))
        vertices = np.broadcast_to(vertices, (frames, *vertices.shape[-2:]))
        transform = np.broadcast_to(transform, (frames, 3, 4))
        resting = handover.resting(identity)
        pictures = []
        for start in range(0, frames, batch):
            part = slice(start, start + batch)
            features = handover.rasterize_clip(resting, vertices[part], transform[part], self.config.size, backend)
            pictures.append(self.decode(features, noise, generator=generator))
        result = torch.cat(pictures)
        return result[0] if single else result

    def forward(
        self,
        image: Float[Tensor, "B 3 S S"],
        source: Float[Tensor, "B 3 4"],
        vertices: Float[Tensor, "B V 3"],
        transforms: Float[Tensor, "B 3 4"],
        noise: Noise = "random",
        generator: torch.Generator | None = None,
    ) -> Output:
        """The training path: portraits rendered from other cameras, with gradients to every weight.

        Args:
            image: Portraits in [0, 1] at the encoder's size.
            source: Their cameras.
            vertices: FLAME vertices of the target frames, metres.
            transforms: Cameras of the target frames.
            noise: As in `decode`; training uses random noise.
            generator: Source of the random noise.
        """
        return self.drive(*self.splats(image, source), vertices, transforms, noise, generator)

    def drive(
        self,
        splats: HeadOutput,
        points: Float[Tensor, "B M 3"],
        vertices: Float[Tensor, "B V 3"],
        transforms: Float[Tensor, "B 3 4"],
        noise: Noise = "random",
        generator: torch.Generator | None = None,
    ) -> Output:
        """The second half of `forward`: Gaussians of portraits rendered in other frames, with gradients.

        Args:
            splats: From `splats` or `splats_of`.
            points: Means of the plane's Gaussians, from there too, GAGAvatar units.
            vertices: FLAME vertices of the target frames, metres.
            transforms: Cameras of the target frames.
            noise: As in `decode`.
            generator: Source of the random noise.
        """
        means = torch.cat([lifting.SCALE * vertices, points], 1)
        covariances = lifting.covariances(splats.scales, splats.quaternions)
        features = torch.stack(
            [
                handover.rasterize_with_gradients(
                    means[i],
                    covariances[i],
                    splats.opacities[i, :, 0],
                    splats.colors[i],
                    transforms[i],
                    self.config.size,
                )
                for i in range(len(vertices))
            ]
        )
        fine = self.upsampler(features.permute(0, 3, 1, 2), noise, generator).permute(0, 2, 3, 1)
        return Output(features[..., :3], fine, points)

    def _tensor(self, value: AnyArray | Tensor, name: str, shape: tuple[int | None, ...]) -> Tensor:
        tensor = torch.as_tensor(np.asarray(value) if not isinstance(value, Tensor) else value)
        tensor = tensor.to(device=self.device, dtype=torch.float32)
        if tensor.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, tensor.shape, strict=False)):
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise InputError(f"has shape {tuple(tensor.shape)}, expected ({expected})", field=name)
        if not torch.isfinite(tensor).all():
            raise InputError("holds values that are not finite", field=name)
        return tensor
