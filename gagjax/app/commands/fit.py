"""`gagjax fit`: fit an animatable Gaussian head to a tracked clip of one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Fit:
    """Fit a personal avatar to a clip and refine the clip's track at the same time.

    CLIP is a folder with the frames (frames/, images/, img_lmdb/ or one video; square, one per frame of the track) and
    the track (track.npz, or the output of GAGAvatar_track or VHAP). The output is a folder with the avatar, the refined
    track and progress images. If CLIP is a video, it is tracked first: a folder with frames, mattes and track is made
    beside the output. Give the same command again to resume a stopped fit.

    A clip of many cameras is an export of VHAP with several camera_index in transforms.json, or a folder with
    cameras.json and cameras/NAME/ (docs/guide/many_cameras.md).

    models:
      appearance  Gaussians on the mesh; colour, position and width depend on pose and expression
      field       a neutral head, deformed by a field of expression and pose

    starts:
      flame       grey Gaussians on the mesh
      portrait    the colours and the hair of the clip's best frame, as `gagjax avatar` builds them
      sdf         a signed distance field fitted to the clip first (experimental: long hair is not reached yet)

    GAGAvatar:
      --gagavatar CHECKPOINT trains the network's heads and decoder on the clip instead, with the published objective; its
      encoder stays. The output is OUT/GAGAvatar.pt with every key of CHECKPOINT. It needs FLAME's own mesh (--flame) and
      frames at the network's 512 pixels; of the other options --steps, --hold-out, --pictures, --seed and --fps apply.

    examples:
      gagjax fit film.mp4 -o avatar/
      gagjax fit film.mp4 -o avatar/ --start portrait
      gagjax fit clip/ -o avatar/
      gagjax fit clip/ -o avatar/ --flame FLAME_with_eye.pt --size 256 --gaussians 12000
      gagjax fit film.mp4 -o mine/ --gagavatar GAGAvatar.pt --flame FLAME_with_eye.pt --steps 1000
      gagjax reenact --avatar avatar/ -d driver.npz -o result.mp4 --enhanced
    """

    clip: tyro.conf.Positional[Path]
    """Folder with frames and track, or a video."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Output folder."""
    flame: Path | None = None
    """The FLAME file that the track refers to; the built-in head by default."""
    head_seed: int = 0
    """Identity of the built-in head, if no FLAME file is given."""
    model: Literal["appearance", "field"] = "appearance"
    """Avatar model, see above."""
    start: Literal["flame", "portrait", "sdf"] = "flame"
    """What the fit starts from, see above."""
    blend: Literal["linear", "sigmoid"] = "linear"
    """How the field's expression and pose branches are blended over the head."""
    channels: Literal[3, 32] = 3
    """Feature channels per Gaussian of the field; 32 adds a small network that decodes them into the image."""
    upscale: Literal[1, 2, 4] = 1
    """Render the field's features at 1/N of the image size and let that network upsample them."""
    size: int = 128
    """Frame size for fitting, pixels."""
    gaussians: int = 8000
    """Upper limit on the number of Gaussians."""
    steps: int = 3000
    """Number of optimiser steps."""
    batch: int = 1
    """Pictures per step, drawn over frames and cameras."""
    first: float = 0.3
    """Fraction of the steps before appearance may depend on the frame."""
    motion: bool = True
    """Refine the track as well."""
    hold_out: int = 8
    """Hold out every N-th frame for evaluation; 0 fits all frames."""
    hold_out_camera: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Hold out these cameras of a clip with many; measured apart from held-out frames."""
    colour: Literal["auto", "off", "first", "mean"] = "auto"
    """Correct each camera's colours by a learned affine map, with the first camera's or the mean map fixed; auto: first, if
    there are many cameras."""
    calibrate: bool = False
    """Correct cameras' poses (with many) and focal lengths a little."""
    fit_shape: bool = False
    """Fit the head's shape: identity coefficients and vertex offsets."""
    light: bool = False
    """Fit the clip's light by spherical harmonics of degree 2; colours become albedo."""
    wrinkles: bool = False
    """Learn a displacement map that follows expression and jaw: wrinkles in shape and shading."""
    background: Literal["colour", "matte", "learned"] = "colour"
    """Behind the head: one colour; that colour outside the mattes of the film too; or a learned picture per camera that
    stands still."""
    uv: bool = False
    """Add GaussianAvatar's feature map: an optimisable tensor and a pose encoder on the posed mesh's position map."""
    warm_up: bool = False
    """Let Gaussians start narrow and widen over the first tenth of the steps."""
    perceptual: Literal["off", "filters"] = "off"
    """Add a loss on gradients and Gram matrices of fixed filters at three scales; it needs no weights."""
    lpips: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="WEIGHTS ...")] = ()
    """Add LPIPS with these weights: state dict of lpips.LPIPS(net='vgg' or 'alex'), or torchvision's network."""
    lpips_size: int = 0
    """Compare at most at this size by --lpips, pixels; 0 for the frames' own."""
    pictures: int = 500
    """Steps between progress images; 0 for none."""
    seed: int = 0
    """Seed of the initial weights and of the frame order."""
    fps: float | None = None
    """Frame rate to assume if the track has none; 25 by default."""
    gagavatar: Path | None = None
    """Fine-tune this GAGAvatar checkpoint on the clip instead of fitting Gaussians, see above."""
    force_retrack: Annotated[bool, tyro.conf.arg(aliases=["-f"])] = False
    """Track a video again even if its track exists beside the output."""
    force: bool = False
    """Replace an existing avatar."""

    def run(self) -> int:
        for name, value, least, most in (
            ("--size", self.size, 32, 1024),
            ("--gaussians", self.gaussians, 100, 200_000),
            ("--steps", self.steps, 1, 1_000_000),
            ("--batch", self.batch, 1, 64),
            ("--hold-out", self.hold_out, 0, 1_000_000),
            ("--lpips-size", self.lpips_size, 0, 1024),
            ("--pictures", self.pictures, 0, 1_000_000),
            ("--head-seed", self.head_seed, 0, 2**32 - 1),
            ("--seed", self.seed, 0, 2**32 - 1),
        ):
            if not least <= value <= most:
                raise InputError(f"is {value}", field=name, fix=f"Use {least} to {most}")
        if not 0 <= self.first <= 10:
            raise InputError(f"is {self.first}", field="--first", fix="Use a fraction of the steps")
        if self.model != "field" and (self.channels, self.upscale) != (3, 1):
            raise InputError("are for the field", field="--channels and --upscale", fix="Pass --model field")
        if self.size % self.upscale:
            raise InputError(f"is no multiple of {self.upscale}", field="--size", fix="Choose another, or --upscale 1")
        if self.hold_out == 1:
            raise InputError("leaves no frame to learn from", field="--hold-out", fix="Use 0, or 2 and more")
        from gagjax.app.workflows.fit import FitOptions, fit

        if self.gagavatar is not None:
            from gagjax.app.workflows.fine_tuning import fine_tune

            if self.flame is None:
                raise InputError("GAGAvatar needs a FLAME file", fix="Pass --flame FLAME_with_eye.pt")
            print(fine_tune(FitOptions(**vars(self))))
            return 0
        print(fit(FitOptions(**vars(self))))
        return 0
