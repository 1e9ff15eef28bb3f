"""Fine-tune GAGAvatar on a clip, with progress output, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gagjax.app.workflows.fit import SAVE_EVERY, FitOptions, one_shape, with_folder
from gagjax.errors import InputError

if TYPE_CHECKING:
    from bridge.gagavatar import Config
    from bridge.gagavatar.fine_tuning import FineTuning, Shots
    from gagjax.avatars.personal.clip import FilmedClip
    from gagjax.flame.model import FlameModel

#: The fine-tuned checkpoint, and the state of an unfinished run, in the output folder.
RESULT, STATE, PROGRESS = "GAGAvatar.pt", "fine_tuning.pt", "progress"


def fine_tune(options: FitOptions, config: Config | None = None) -> str:
    """Run the fine-tuning and return a summary for the user.

    Args:
        options: Of `gagjax fit`; `gagavatar` is the checkpoint, `flame` the head model that the track refers to.
        config: Network sizes, if not the official ones.

    Raises:
        InputError: If torch is missing, the checkpoint, the clip or the head cannot be used, or the result exists.
    """
    from gagjax import flame
    from gagjax.avatars.personal import clip
    from gagjax.io import atomic

    checkpoint = options.gagavatar
    assert checkpoint is not None
    result, state = options.out / RESULT, options.out / STATE
    atomic.check(result, options.force)
    if not checkpoint.is_file():
        raise InputError("does not exist", file=checkpoint)
    try:
        from bridge.gagavatar import GAGAvatar, fine_tuning
        from bridge.gagavatar import config as sizes
    except ImportError as error:
        raise InputError(f"cannot be used: {error}", file=checkpoint, fix="pip install 'gagjax[torch]'") from error
    config = config or sizes.Config()
    options = with_folder(options)
    head = flame.builtin(options.head_seed) if options.flame is None else flame.load(options.flame)
    if len(head.v_template) != config.vertices:
        raise InputError(
            f"has {len(head.v_template)} vertices, GAGAvatar needs {config.vertices}",
            field="head model",
            fix="Pass the FLAME file that the track refers to: --flame FLAME_with_eye.pt",
        )
    found = clip.read(options.clip, config.size, fps=options.fps)
    shots = shots_of(found, head, one_shape(found.track, options.clip))
    usable = np.flatnonzero(np.asarray(found.track.valid))
    held = usable[options.hold_out // 2 :: options.hold_out] if options.hold_out else usable[:0]
    lost = np.setdiff1d(np.arange(len(found)), usable)
    network = GAGAvatar.from_checkpoint(checkpoint, config=config)
    run = fine_tuning.FineTuning(
        network,
        shots,
        fine_tuning.Settings(steps=options.steps, seed=options.seed),
        np.union1d(held, lost),
        fine_tuning.perception_of(fine_tuning.files.whole(checkpoint), str(checkpoint)),
    )
    trained = sum(value.numel() for value in run.trained.values())
    perceived = "with" if run.perception else "without (the file has no percep_loss)"
    print(
        f"{len(found)} frames of {config.size} pixels, {len(held)} held out; {trained:,} weights learn; "
        f"{perceived} perceptual term"
    )
    before = run.psnr(held) if len(held) else None
    if state.is_file():
        run.resume(state)
        print(f"{state}: goes on after step {run.done}")
    _run(run, options, state)
    fine_tuning.write(result, network, checkpoint, force=options.force)
    state.unlink(missing_ok=True)
    figures = "no frame was held out; --hold-out 8 measures on every eighth"
    if before is not None:
        figures = f"held-out PSNR {before:.1f} dB before, {run.psnr(held):.1f} dB after"
    return f"{figures}\n{result}: drive it with gagjax reenact -r {result} -i PORTRAIT -d DRIVER -o result.mp4"


def shots_of(found: FilmedClip, head: FlameModel, shape: np.ndarray | None) -> Shots:
    """A clip as the network is trained on it: over black, the head at rest before GAGAvatar's lens.

    Args:
        found: The clip, at the network's size.
        head: The head model that the track refers to.
        shape: The person's shape coefficients, or None.
    """
    import jax.numpy as jnp

    from bridge.gagavatar.fine_tuning.shots import Shots, boxes_of, over_black
    from gagjax import flame
    from gagjax.camera import like_gagavatar
    from gagjax.conventions.head_pose import with_neck

    own = jnp.zeros(head.shapes) if shape is None else jnp.asarray(shape)[: head.shapes]
    track = with_neck(found.track, head, own)
    transforms = like_gagavatar(np.asarray(track.transform, np.float32), track.intrinsics)
    pose = np.concatenate([np.zeros((len(track), 3), np.float32), np.asarray(track.jaw)], 1)
    parts = []
    for start in range(0, len(track), 64):
        few = slice(start, start + 64)
        parts.append(np.asarray(flame.vertices(head, own, track.expression[few], pose[few], track.eyes[few])))
    vertices = np.concatenate(parts).astype(np.float32)
    boxes = track.extra.get("bbox")
    if boxes is None:
        skull = np.asarray(head.weights)[:, 0] < 0.5  # without the bust, which follows the root joint
        boxes = boxes_of(vertices[:, skull], transforms)
    return Shots(over_black(found.frames, found.masks), vertices, transforms, np.asarray(boxes, np.float32))


def _run(run: FineTuning, options: FitOptions, state: Path) -> None:
    from tqdm import tqdm

    from gagjax.io import images

    shown = int(run.usable[len(run.usable) // 2])
    smooth: dict[str, float] = {}
    with tqdm(total=options.steps, initial=run.done, desc="fine-tuning", unit="step", dynamic_ncols=True) as bar:

        def report(now: FineTuning, terms: dict[str, float]) -> None:
            for name, value in terms.items():
                smooth[name] = value if name not in smooth else 0.95 * smooth[name] + 0.05 * value
            bar.update()
            bar.set_postfix({name: f"{value:.4f}" for name, value in smooth.items()}, refresh=False)
            if options.pictures and now.done % options.pictures == 0:
                drawn = now.picture(shown).cpu().numpy()
                row = np.concatenate([now.shots.pictures[shown] / 255, drawn], 1)
                picture = (np.clip(row, 0, 1) * 255 + 0.5).astype(np.uint8)
                images.write(options.out / PROGRESS / f"{now.done:06}.png", picture, force=True)
            if now.done % SAVE_EVERY == 0:
                now.save(state)

        run.run(report=report)
