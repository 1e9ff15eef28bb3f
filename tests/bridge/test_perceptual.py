"""LPIPS with weights of the user's: the published formula, both layouts of files, gradients through the bridge."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gagjax.app.cli import main
from gagjax.errors import InputError
from gagjax.io import video

torch = pytest.importorskip("torch", reason="needs torch")

from bridge import perceptual  # noqa: E402


@pytest.fixture(scope="module")
def state():
    """Random weights in the layout of the lpips package."""
    made = torch.Generator().manual_seed(0)
    found = {}
    for number, (inward, outward, kernel, *_, place, part, _pool) in enumerate(perceptual.LAYERS):
        found[f"net.slice{part}.{place}.weight"] = torch.randn(outward, inward, kernel, kernel, generator=made) * 0.05
        found[f"net.slice{part}.{place}.bias"] = torch.randn(outward, generator=made) * 0.1
        found[f"lin{number}.model.1.weight"] = torch.rand(1, outward, 1, 1, generator=made)
    return found


@pytest.fixture(scope="module")
def files(state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lpips")
    torch.save(state, folder / "all.pth")
    places = {f"net.slice{part}.{place}": f"features.{place}" for *_, place, part, _ in perceptual.LAYERS}
    backbone = {places[k.rsplit(".", 1)[0]] + "." + k.rsplit(".", 1)[1]: v for k, v in state.items() if k[0] == "n"}
    torch.save(backbone | {"classifier.6.bias": torch.zeros(3)}, folder / "alexnet.pth")
    torch.save({k: v for k, v in state.items() if k[0] == "l"}, folder / "alex.pth")
    return folder


def oracle(state, x, y):
    """The formula in float64, layer by layer, on arrays with channels first."""

    def convolved(image, weight, bias, stride, padding):
        image = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
        size = weight.shape[-1]
        windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (1, 2))[:, ::stride, ::stride]
        return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True) + bias[:, None, None]

    def pooled(image):
        return np.lib.stride_tricks.sliding_window_view(image, (3, 3), (1, 2))[:, ::2, ::2].max((3, 4))

    def features(image):
        a = (image.transpose(2, 0, 1) * 2 - 1 - np.reshape(perceptual.SHIFT, (3, 1, 1))) / np.reshape(
            perceptual.SCALE, (3, 1, 1)
        )
        for _, _, _, stride, padding, place, part, pool in perceptual.LAYERS:
            a = pooled(a) if pool else a
            weight, bias = (state[f"net.slice{part}.{place}.{k}"].double().numpy() for k in ("weight", "bias"))
            a = np.maximum(convolved(a, weight, bias, stride, padding), 0)
            yield a / (np.sqrt((a**2).sum(0)) + 1e-10)

    total = 0.0
    for number, (one, other) in enumerate(zip(features(x), features(y), strict=True)):
        weight = state[f"lin{number}.model.1.weight"].double().numpy().reshape(-1, 1, 1)
        total += (weight * (one - other) ** 2).sum(0).mean()
    return total


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    x = rng.random((2, 40, 48, 3)).astype(np.float32)
    return x, np.clip(x + 0.2 * rng.normal(size=x.shape), 0, 1).astype(np.float32)


def test_the_published_formula(state, files, pictures):
    x, y = pictures
    metric = perceptual.Lpips.load(files / "all.pth")
    found = perceptual.lpips(metric, jnp.asarray(x), jnp.asarray(y))
    wanted = [oracle(state, a.astype(float), b.astype(float)) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    np.testing.assert_array_equal(perceptual.lpips(metric, jnp.asarray(x), jnp.asarray(x)), 0)


def test_two_files_are_as_good_as_one(files, pictures):
    x, y = map(torch.from_numpy, pictures)
    one = perceptual.Lpips.load(files / "all.pth")(x, y)
    two = perceptual.Lpips.load(files / "alexnet.pth", files / "alex.pth")(x, y)
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_gradients_cross_the_bridge(files, pictures):
    x, y = map(jnp.asarray, pictures)
    metric = perceptual.Lpips.load(files / "all.pth")
    gradient = jax.jit(jax.grad(lambda a: perceptual.lpips(metric, a, y).sum()))(x)
    step = 0.02 * gradient / jnp.linalg.norm(gradient)
    rise = perceptual.lpips(metric, x + step, y).sum() - perceptual.lpips(metric, x - step, y).sum()
    np.testing.assert_allclose(rise, 2 * (gradient * step).sum(), rtol=0.05)
    same = jax.grad(lambda a: perceptual.lpips(metric, a, y).sum())(y)
    assert np.isfinite(same).all()


def test_files_that_do_not_fit(files, state, tmp_path):
    torch.save({k: v for k, v in state.items() if not k.startswith("lin3")}, tmp_path / "less.pth")
    torch.save(state | {"lin0.model.1.weight": torch.ones(1, 3, 1, 1)}, tmp_path / "shape.pth")
    torch.save(state | {"lin0.model.1.weight": -torch.ones(1, 64, 1, 1)}, tmp_path / "negative.pth")
    (tmp_path / "no.pth").write_bytes(b"no")
    for names, said in [
        (("less.pth",), "lin3"),
        (("shape.pth",), "expected"),
        (("negative.pth",), "negative"),
        (("no.pth",), "damaged"),
        (("absent.pth",), "no such file"),
        ((), "names no file"),
    ]:
        with pytest.raises(InputError, match=said):
            perceptual.Lpips.load(*(tmp_path / name for name in names))
    metric = perceptual.Lpips.load(files / "all.pth")
    with pytest.raises(InputError, match="smaller"):
        perceptual.lpips(metric, jnp.zeros((1, 20, 64, 3)), jnp.zeros((1, 20, 64, 3)))


def test_eval_reports_it(files, pictures, tmp_path, capsys):
    for name, frames in zip(("a.mp4", "b.mp4"), pictures, strict=True):
        video.write(tmp_path / name, frames, 25)
    words = ["eval", str(tmp_path / "a.mp4"), "--truth", str(tmp_path / "b.mp4"), "--lpips", str(files / "all.pth")]
    assert main(words) == 0
    assert "LPIPS" in capsys.readouterr().out
