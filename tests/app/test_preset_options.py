"""Every parameter of the document from flags and presets: variant, identity, strength, numbers by path, a PCA."""

from __future__ import annotations

import dataclasses
import warnings

import jax
import numpy as np
import pytest
import yaml

import gagjax as gj
from gagjax import simulate
from gagjax.app import presets
from gagjax.app.cli import main
from gagjax.app.presets import Options, stack_of
from gagjax.errors import InputError
from gagjax.expression import PCA
from gagjax.reference.expression import factors

pytestmark = pytest.mark.filterwarnings("ignore:the reference preset")

DOCUMENT = {
    "temporal.codes.alpha": 0.4, "temporal.codes.process_noise": 2e-3, "temporal.codes.measurement_noise": 2e-2,
    "temporal.codes.kalman": 0, "temporal.camera.alpha": 0.6, "gaze.strength": 0.5, "detail.strength": 1.5,
    "eyes.sigma": 0.1,
}  # fmt: skip


def value_at(stack, path):
    for name in path.split("."):
        stack = getattr(stack, name)
    return stack


def test_every_number_of_the_document_can_be_set():
    words = tuple(f"{path}={value}" for path, value in DOCUMENT.items())
    by_flags = stack_of("reference", options=Options(settings=words))
    by_file = stack_of("a.yaml", text=yaml.safe_dump({"preset": "reference", "set": DOCUMENT}))
    for path, value in DOCUMENT.items():
        for stack in (by_flags, by_file):
            assert float(value_at(stack, path)) == pytest.approx(value)
    hash(jax.tree.structure(by_flags))  # structure stays hashable
    frames = np.random.default_rng(0).random((2, 48, 40, 3)).astype(np.float32)
    gj.enhance_frames(by_flags, frames)
    track = simulate.driver(6)
    got = gj.enhance_track(dataclasses.replace(by_flags, expression=None, gaze=None), track)
    want, y = [], np.asarray(track.expression[0])
    for x in np.asarray(track.expression):
        y = 0.4 * x + 0.6 * y
        want.append(y)
    np.testing.assert_allclose(got.expression, want, atol=1e-5)


@pytest.mark.parametrize("variant", ["document", "code"])
@pytest.mark.parametrize("identity", [False, True])
def test_variant_and_identity_by_flag_and_by_file(variant, identity):
    by_flags = stack_of("reference", options=Options(variant, identity))
    text = yaml.safe_dump({"preset": "reference", "variant": variant, "identity": identity})
    for stack in (by_flags, stack_of("a.yaml", text=text)):
        assert stack.detail.variant == stack.gaze.variant == stack.temporal.codes.variant == variant
        np.testing.assert_array_equal(stack.expression.factors, factors(variant, identity))
    assert stack_of("a.yaml", text=text, options=Options("code")).detail.variant == "code"  # a flag wins


def test_strength_multiplies():
    for preset in ("default", "reference"):
        plain, strong = (stack_of(preset, options=Options(strength=s)) for s in (1.0, 1.5))
        assert float(strong.detail.strength) == pytest.approx(1.5 * float(plain.detail.strength))
    with pytest.raises(InputError, match="--strength"):
        stack_of("smooth", options=Options(strength=2.0))


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        ("default", Options("code"), "--variant"),
        ("balanced", Options(identity=True), "--identity"),
        ("reference", Options(settings=("temporal",)), "--set"),
        ("reference", Options(settings=("temporal.codes.alpha=x",)), "--set"),
        ("reference", Options(settings=("temporal.nothing=1",)), "nothing"),
        ("reference", Options(settings=("temporal.codes.kalman=2",)), "0 or 1"),
        ("default", Options(settings=("gaze.strength=1",)), "gaze"),
    ],
)
def test_what_a_preset_has_not_is_refused(preset, options, message):
    with pytest.raises(InputError, match=message):
        stack_of(preset, options=options)


@pytest.mark.parametrize(
    "content",
    [
        {"preset": "default", "variant": "code"}, {"preset": "reference", "variant": 3},
        {"preset": "reference", "identity": "yes"}, {"pca": 3}, {"pca": {"components": 2, "mean": "", "rows": ""}},
        {"pca": {"components": 1, "mean": "AAAA" * 134, "rows": "!!"}},
        {"pca": {"components": 0, "mean": "", "rows": ""}}, {"pca": {"components": True, "mean": "", "rows": ""}},
    ],
)  # fmt: skip
def test_damaged_presets_are_refused(content):
    with pytest.raises(InputError, match=r"a\.yaml"):
        stack_of("a.yaml", text=yaml.safe_dump(content))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pca")
    for k in range(4):
        gj.save_track(simulate.driver(80, seed=k), folder / f"{k}.npz")
    return sorted(folder.iterdir())


def test_tune_puts_a_pca_into_a_preset(clips, tmp_path, capsys):
    out = tmp_path / "person.yaml"
    assert main(["tune", "--pca", *map(str, clips), "-o", str(out), "--rank", "5"]) == 0
    assert "held out" in capsys.readouterr().out
    stack = presets.stack_of(str(out))
    track = gj.load_track(clips[0])
    got = gj.enhance_track(dataclasses.replace(stack, temporal=None), track)
    from gagjax.expression import neutral

    rest = np.asarray(neutral(track.expression, track.valid))
    onto = np.asarray(stack.expression.map)
    np.testing.assert_allclose(onto @ onto, onto, atol=1e-4)
    assert np.linalg.matrix_rank(onto, tol=1e-3) == 5
    np.testing.assert_allclose(got.expression, rest + (np.asarray(track.expression) - rest) @ onto.T, atol=1e-4)
    assert main(["enhance", str(clips[1]), "-o", str(tmp_path / "a.npz"), "--preset", str(out)]) == 0
    live = presets.stack_of("a.yaml", text=out.read_text().replace("preset: default", "preset: live"))
    np.testing.assert_array_equal(live.expression.retargeter.map, onto)


def test_the_references_pca_is_about_a_mean(clips, tmp_path):
    out = tmp_path / "person.yaml"
    assert main(["tune", "--pca", *map(str, clips), "-o", str(out), "--rank", "6", "--base", "reference"]) == 0
    stack = presets.stack_of(str(out))
    held = np.sort(np.random.default_rng(0).permutation(4)[:1])
    rows = np.concatenate([np.asarray(gj.load_track(c).expression) for k, c in enumerate(clips) if k not in held])
    want = PCA.fit(rows, 6)
    np.testing.assert_allclose(stack.expression.mean, want.mean, atol=1e-5)
    np.testing.assert_allclose(stack.expression.components, want.components, atol=1e-4)
    with pytest.raises(InputError, match="about a mean"):
        presets.stack_of("a.yaml", text=out.read_text().replace("preset: reference", "preset: default"))


def test_flags_of_reenact(clips, tmp_path, capsys):
    words = ["reenact", "-d", str(clips[0]), "--size", "64", "--preset", "reference", "--variant", "code", "--identity"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (
            main([*words, "-o", str(tmp_path / "a.gif"), "--set", "temporal.codes.alpha=.4", "--strength", "1.2"]) == 0
        )
    assert main(["reenact", "-d", str(clips[0]), "-o", str(tmp_path / "b.gif"), "--variant", "code"]) == 2
    assert "--variant" in capsys.readouterr().err
    assert main(["tune", str(clips[0]), "-o", str(tmp_path / "c.yaml"), "--rank", "3"]) == 2
