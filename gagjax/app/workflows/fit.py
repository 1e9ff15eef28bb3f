"""Workflow of `gagjax fit`: fit an avatar to a clip, with progress output, resumable."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gagjax.app.waiting import waiting
from gagjax.app.workflows.fitting.parts import PartOptions, chosen, held_cameras
from gagjax.errors import InputError

if TYPE_CHECKING:
    from gagjax.avatars.personal import training
    from gagjax.avatars.personal.starts import Given
    from gagjax.track import Track

CHECKPOINT, PROGRESS = "checkpoint.safetensors", "progress"
SAVE_EVERY = 250


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions(PartOptions):
    """What to fit and how; the fields are the options of `gagjax fit`, documented there."""

    clip: Path
    out: Path
    flame: Path | None = None
    head_seed: int = 0
    model: Literal["appearance", "field"] = "appearance"
    start: Literal["flame", "portrait", "sdf"] = "flame"
    blend: Literal["linear", "sigmoid"] = "linear"
    channels: Literal[3, 32] = 3
    upscale: Literal[1, 2, 4] = 1
    size: int = 128
    gaussians: int = 8000
    steps: int = 3000
    batch: int = 1
    first: float = 0.3
    motion: bool = True
    hold_out: int = 8
    pictures: int = 500
    seed: int = 0
    fps: float | None = None
    gagavatar: Path | None = None
    force_retrack: bool = False
    force: bool = False


def fit(options: FitOptions) -> str:
    """Run the fit and return a summary for the user.

    Raises:
        InputError: If the clip or the head cannot be used, or the avatar already exists.
    """
    from gagjax import flame
    from gagjax.avatars.personal import canonical, clip, files, training
    from gagjax.avatars.personal.starts import Given
    from gagjax.conventions.head_pose import folded
    from gagjax.io import atomic
    from gagjax.io.tracks import save_track

    # Files beside a checkpoint are of a fit that was stopped while it wrote them: the checkpoint goes last.
    force = options.force or (options.out / CHECKPOINT).is_file()
    for name in (files.JSON, files.TENSORS, files.TRACK):
        atomic.check(options.out / name, force)
    options = with_folder(options)
    found = clip.read(options.clip, options.size, fps=options.fps)
    head = flame.builtin(options.head_seed) if options.flame is None else flame.load(options.flame)
    shape = one_shape(found.track, options.clip)
    if options.flame is None and shape is not None and not shape.any():
        shape = None
    model = canonical.person(head, shape)
    if not found.track.camera_known:
        raise InputError(
            "holds no camera, and a fit needs the one that filmed",
            file=options.clip,
            fix="Put transforms.json (fl_x, fl_y, cx, cy, transform_matrix) beside the track",
        )
    people = found.track.sequences
    if len(people) > 1:
        print(f"sequences: {', '.join(people)}; all are taken for one person")
    # Fold the head pose into the camera: a personal avatar stays at rest and the camera moves around it.
    found = dataclasses.replace(found, track=folded(found.track, model))
    usable = np.flatnonzero(np.asarray(found.track.valid))
    held = usable[options.hold_out // 2 :: options.hold_out] if options.hold_out else usable[:0]
    if len(usable) - len(held) < 2:
        raise InputError(f"has {len(usable)} tracked frames", file=options.clip, fix="A fit needs at least a few")
    settings = training.Settings(
        steps=options.steps, batch=options.batch, first=options.first, motion=options.motion, seed=options.seed
    )
    cameras = held_cameras(options, found)
    found, parts = chosen(options, found, head, model)
    with waiting("placing the Gaussians"):
        given = Given(model, found, np.setdiff1d(usable, held), options.gaussians, options.seed)
        run = training.AvatarFit(_first(options, given), found, settings, held, parts, cameras)
    checkpoint = options.out / CHECKPOINT
    if checkpoint.is_file():
        run.resume(checkpoint)
        print(f"{checkpoint}: goes on after step {run.done}")
    print(f"{len(found)} frames of {found.size} pixels, {len(held)} held out; {len(run.avatar)} Gaussians")
    if found.rig is not None:
        print(f"{len(found.rig)} cameras ({', '.join(found.rig.names)}), {len(cameras)} held out")
    if parts:
        print(f"parts: {', '.join(part.name for part in parts)}")
    _run(run, options)
    run.save(checkpoint)
    figures = measured(run, held)
    files.save(
        options.out,
        run.avatar,
        head=head,
        seed=options.head_seed if options.flame is None else None,
        shape=shape,
        background=np.asarray(found.background).reshape(-1, 3)[0],
        force=force,
    )
    save_track(run.track, options.out / files.TRACK, force=force)
    checkpoint.unlink(missing_ok=True)
    used = f" --flame {options.flame}" if options.flame is not None else ""
    return (
        f"{figures}\n{options.out}: drive it with gagjax reenact --avatar {options.out}{used} -d DRIVER -o result.mp4"
    )


def with_folder(options: FitOptions) -> FitOptions:
    """The options with a video replaced by a folder of its frames, mattes and track, made beside the output."""
    from gagjax.app.workflows.track import folder_of, is_film, tracked_first
    from gagjax.io.tracks import load_track

    if not is_film(options.clip):
        return options
    track = tracked_first(options.clip, options.out, flame=options.flame, again=options.force_retrack, pictures=True)
    folder = folder_of(track)
    _add_mattes(folder)
    return dataclasses.replace(options, clip=folder, fps=options.fps or float(load_track(track).fps))


def _add_mattes(folder: Path) -> None:
    """The person's matte in every frame of a tracked folder, as grey pictures `masks/000000.png` and so on."""
    from tqdm import tqdm

    from gagjax.io import atomic, images
    from gagjax.io.frame_database import FrameDatabase
    from gagjax.io.tracks import load_track
    from gagjax.tracking.matte import matte

    names = load_track(folder).names or ()
    if (folder / "masks").is_dir() and len(list((folder / "masks").glob("*.png"))) == len(names):
        return
    with atomic.output(folder / "masks", True, folder=True) as temporary, FrameDatabase(folder) as database:
        for number, name in enumerate(tqdm(names, "mattes", unit="frame")):
            grey = matte(database[name])[..., None]
            images.write(temporary / f"{number:06}.png", np.repeat((grey * 255).astype(np.uint8), 3, 2))


def measured(run: training.AvatarFit, held: np.ndarray) -> str:
    """PSNR on what was held out, frames and cameras apart.

    Of held-out frames by cameras that were learned from: with the track as given, and with their motion refined. Of
    held-out cameras in frames that were learned from: as they are. With mattes, also inside the matte.

    Args:
        run: The fit, done.
        held: Indices of held-out frames.
    """
    from tqdm import tqdm

    rig = run.clip.rig
    lines = []
    if len(run.held_cameras) and rig is not None:
        frames = np.asarray(run.clip.track.valid).copy()
        frames[held] = False
        others = np.setdiff1d(np.arange(len(rig)), run.held_cameras)
        names = ", ".join(rig.names[c] for c in run.held_cameras)
        lines.append(f"held-out camera ({names}) PSNR {_psnr(run, rig.pictures(frames, others))}")
    if not len(held):
        return "\n".join([*lines, "no frame was held out; --hold-out 8 measures on every eighth"])
    pictures = held
    if rig is not None:
        # The first camera that was learned from: one picture per frame, so that each refines its own motion.
        first = next(c for c in range(len(rig)) if c not in run.held_cameras)
        frames = np.isin(np.arange(len(run.clip)), held)
        pictures = rig.pictures(frames, np.setdiff1d(np.arange(len(rig)), [first]))
    given = _psnr(run, pictures)
    if not run.settings.motion:
        return "\n".join([*lines, f"held-out PSNR {given} with the track as given"])
    for i in tqdm(pictures.tolist(), "refining", unit="frame", dynamic_ncols=True):
        run.refine([i])  # each frame's motion by itself
    refined = _psnr(run, pictures)
    told = f"held-out PSNR {given} with the track as given, {refined} with these frames' motion refined"
    return "\n".join([*lines, told])


def _psnr(run: training.AvatarFit, pictures: np.ndarray) -> str:
    """Mean PSNR of pictures of the clip, and inside their mattes if there are any."""
    whole, inside = [], []
    for i in pictures.tolist():
        square = (run.picture(i) - run.clip.frames[i].astype(np.float32) / 255) ** 2
        whole.append(-10 * np.log10(square.mean() + 1e-12))
        if run.clip.masks is not None and run.clip.masks[i].any():
            weight = run.clip.masks[i].astype(np.float32)[..., None]
            inside.append(-10 * np.log10((weight * square).sum() / (3 * weight.sum()) + 1e-12))
    told = f"{np.mean(whole):.1f} dB" if whole else "of no picture"
    return f"{told} ({np.mean(inside):.1f} dB inside the matte)" if inside else told


def one_shape(track: Track, file: Path) -> np.ndarray | None:
    """The clip's single shape: its own, or the mean over its valid frames."""
    if track.shape is None:
        return None
    shape = np.asarray(track.shape, np.float32)
    if not np.isfinite(shape).all():
        raise InputError("is not finite", file=file, field="shape", fix="Track the clip again")
    return shape if shape.ndim == 1 else shape[np.asarray(track.valid)].mean(0)


def panel(run: training.AvatarFit, index: int) -> np.ndarray:
    """Ground truth, rendered frame and four times their difference, side by side."""
    truth, picture = run.clip.frames[index] / 255, np.clip(run.picture(index), 0, 1)
    row = np.concatenate([truth, picture, 4 * np.abs(truth - picture)], 1)
    return (np.clip(row, 0, 1) * 255 + 0.5).astype(np.uint8)


def _first(options: FitOptions, given: Given) -> Any:
    from gagjax.avatars.personal import appearance, deformation, starts

    start, model, track = starts.begin(options.start, given), given.model, given.clip.track
    if options.model == "appearance":
        return appearance.create(model, options.gaussians, options.seed, start)
    made = deformation.create(
        model,
        options.gaussians,
        options.seed,
        blend=options.blend,
        channels=options.channels,
        factor=options.upscale,
        start=start,
    )
    valid = np.asarray(track.valid)
    neck = np.zeros((len(track), 3)) if track.neck is None else np.asarray(track.neck)
    channels = (np.asarray(x)[valid] for x in (track.expression, track.jaw, track.eyes, neck))
    return deformation.guide(made, *channels, seed=options.seed)


def _run(run: training.AvatarFit, options: FitOptions) -> None:
    from tqdm import tqdm

    from gagjax.io import images

    shown = int(run.usable[len(run.usable) // 2])
    smooth: dict[str, float] = {}
    with tqdm(total=options.steps, initial=run.done, desc="fitting", unit="step", dynamic_ncols=True) as bar:
        bar.set_postfix_str("compiling the first step")

        def report(state: training.AvatarFit, figures: dict[str, float]) -> None:
            for name, value in figures.items():
                smooth[name] = value if name not in smooth else 0.95 * smooth[name] + 0.05 * value
            bar.update()
            bar.set_postfix(loss=f"{smooth['loss']:.4f}", psnr=f"{smooth['psnr']:.1f}", refresh=False)
            if options.pictures and state.done % options.pictures == 0:
                images.write(options.out / PROGRESS / f"{state.done:06}.png", panel(state, shown), force=True)
            if state.done % SAVE_EVERY == 0:
                state.save(options.out / CHECKPOINT)

        run.run(report=report)
