"""Real images for the detail benchmarks (those shipped with scikit-image), and realistic degradations of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

NAMES = (
    "astronaut",
    "chelsea",
    "coffee",
    "rocket",
    "camera",
    "retina",
    "immunohistochemistry",
    "brick",
    "grass",
    "cat",
)
CLIP = Path(__file__).resolve().parents[2] / "shared" / "video" / "obama.mp4"


def real(size: int = 256) -> dict[str, np.ndarray]:
    """RGB images in [0, 1], (size, size, 3), from scikit-image's local files, halved in size so that they are sharp."""
    from PIL import Image
    from skimage import data

    folder = Path(data.__file__).parent
    out = {}
    for name in NAMES:
        found = [p for p in folder.glob(f"{name}.*") if p.suffix in (".png", ".jpg", ".jpeg")]
        if not found:
            continue
        picture = Image.open(found[0]).convert("RGB")
        side = min(picture.size)
        if side < 256:
            continue
        picture = picture.crop(
            (
                (picture.width - side) // 2,
                (picture.height - side) // 2,
                (picture.width + side) // 2,
                (picture.height + side) // 2,
            )
        )
        out[name] = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS), np.float32) / 255
    return out


def clip(frames: int = 8, size: int = 512) -> np.ndarray | None:
    """The first frames of a real talking-head video stored beside the project, or None if it is absent."""
    if not CLIP.exists():
        return None
    import av
    from PIL import Image

    out = []
    with av.open(str(CLIP)) as container:
        for frame in container.decode(video=0):
            picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
            side = min(picture.size)
            picture = picture.crop((0, 0, side, side)).resize((size, size), Image.Resampling.LANCZOS)
            out.append(np.asarray(picture, np.float32) / 255)
            if len(out) == frames:
                break
    return np.stack(out)


def degrade(image: np.ndarray, kind: str, seed: int = 0) -> np.ndarray:
    """Degrade an image.

    Args:
        image: RGB in [0, 1].
        kind: "blur": Gaussian of 1.2 pixels. "resize": downscaled and upscaled by two. "codec": blur of 0.8 pixels,
            then JPEG at quality 60. "noise": blur of 0.8 pixels, then noise of 2/255. "none": only rounded to 8 bits.
        seed: Seed of the noise.
    """
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    size = image.shape[1], image.shape[0]

    def as_picture(x: np.ndarray) -> Image.Image:
        return Image.fromarray(np.round(np.clip(x, 0, 1) * 255).astype(np.uint8))

    def blur(sigma: float) -> np.ndarray:
        return gaussian_filter(image, (sigma, sigma, 0), mode="reflect")

    if kind == "none":
        made = as_picture(image)
    elif kind == "blur":
        made = as_picture(blur(1.2))
    elif kind == "resize":
        small = as_picture(image).resize((size[0] // 2, size[1] // 2), Image.Resampling.BILINEAR)
        made = small.resize(size, Image.Resampling.BICUBIC)
    elif kind == "codec":
        buffer = io.BytesIO()
        as_picture(blur(0.8)).save(buffer, "JPEG", quality=60)
        made = Image.open(buffer).convert("RGB")
    elif kind == "noise":
        made = as_picture(blur(0.8) + np.random.default_rng(seed).normal(0, 2 / 255, image.shape))
    else:
        raise ValueError(f"unknown degradation {kind!r}")
    return np.asarray(made, np.float32) / 255


DEGRADATIONS = ("blur", "resize", "codec", "noise")
