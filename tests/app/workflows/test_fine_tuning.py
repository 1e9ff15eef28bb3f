"""`gagjax fit --gagavatar` on a small network with the built-in head: the file that it leaves, and resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bridge.gagavatar import Config, GAGAvatar, checkpoint, fine_tuning  # noqa: E402
from gagjax import avatars, flame  # noqa: E402
from gagjax.app.cli import main  # noqa: E402
from gagjax.app.workflows.fine_tuning import RESULT, STATE, fine_tune, run  # noqa: E402
from gagjax.app.workflows.fit import FitOptions  # noqa: E402
from gagjax.camera import UNITS_PER_METRE, from_track  # noqa: E402
from gagjax.errors import InputError  # noqa: E402
from gagjax.io import images  # noqa: E402
from gagjax.io.tracks import save_track  # noqa: E402
from gagjax.io.video import to_uint8  # noqa: E402
from gagjax.simulate import driver  # noqa: E402
from tests.oracles import gagavatar_weights as rule  # noqa: E402


@pytest.fixture(scope="module")
def config() -> Config:
    return Config(
        patches=2,
        embed=8,
        depth=4,
        heads=2,
        projects=(4, 4, 4, 4),
        plane_channels=4,
        hidden=4,
        vertices=len(flame.builtin(0).v_template),
        size=32,
        style=8,
        decoder_channels=(4, 4, 4, 4),
    )


@pytest.fixture(scope="module")
def options(config: Config, tmp_path_factory: pytest.TempPathFactory) -> FitOptions:
    folder = tmp_path_factory.mktemp("film")
    truth = driver(5, controls=flame.CONTROLS, seed=2)
    for i, frame in enumerate(avatars.frames(avatars.builtin(0), truth, size=32)):
        images.write(folder / "clip/frames" / f"{i:03}.png", to_uint8(frame))
    save_track(truth, folder / "clip/track.npz")
    network = GAGAvatar(config)
    state = rule.weights((key, tuple(value.shape)) for key, value in network.state_dict().items())
    torch.save({"model": {key: torch.from_numpy(value) for key, value in state.items()}}, folder / "GAGAvatar.pt")
    return FitOptions(
        clip=folder / "clip", out=folder / "whole", gagavatar=folder / "GAGAvatar.pt", steps=4, hold_out=4, pictures=3
    )


def test_leaves_a_checkpoint_and_a_stopped_run_goes_on(
    options: FitOptions, config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "SAVE_EVERY", 2)
    said = fine_tune(options, config)
    assert "held-out PSNR" in said
    found = sorted(str(path.relative_to(options.out)) for path in options.out.rglob("*") if path.is_file())
    assert found == [RESULT, "progress/000003.png"]
    assert images.read(options.out / "progress/000003.png").shape == (32, 64, 3)
    assert options.gagavatar is not None
    old, new = checkpoint.read(options.gagavatar), checkpoint.read(options.out / RESULT)
    assert list(old) == list(new)
    assert any(not torch.equal(old[key], new[key]) for key in old)
    GAGAvatar.from_checkpoint(options.out / RESULT, config=config)
    with pytest.raises(InputError, match="exists"):
        fine_tune(options, config)

    stopped = FitOptions(**{**vars(options), "out": options.out.parent / "stopped"})
    real, steps = fine_tuning.FineTuning._step, []

    def killed(self: fine_tuning.FineTuning) -> dict[str, float]:
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(1)
        return real(self)

    monkeypatch.setattr(fine_tuning.FineTuning, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(stopped, config)
    assert (stopped.out / STATE).is_file()
    monkeypatch.setattr(fine_tuning.FineTuning, "_step", real)
    fine_tune(stopped, config)
    assert "goes on after step 2" in capsys.readouterr().out
    again = checkpoint.read(stopped.out / RESULT)
    assert all(torch.equal(new[key], again[key]) for key in new)
    assert not (stopped.out / STATE).exists()


def test_refuses_what_it_cannot_use(options: FitOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", str(options.clip), "-o", str(tmp_path / "out"), "--gagavatar"]
    assert main([*words, str(options.gagavatar)]) == 2
    assert "--flame" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "none.pt"), "--flame", "flame.pkl"]) == 2
    assert "none.pt: does not exist" in capsys.readouterr().err


def test_the_head_box_is_where_the_camera_sees_the_head(options: FitOptions) -> None:
    from gagjax.app.workflows.fine_tuning.run import shots_of
    from gagjax.avatars.personal import clip

    head, found = flame.builtin(0), clip.read(options.clip, 32)
    shots = shots_of(found, head, None).check()
    camera = from_track(shots.transforms[1], 32)
    own = np.asarray(shots.vertices[1])[np.asarray(head.weights)[:, 0] < 0.5]
    seen = own * UNITS_PER_METRE @ np.asarray(camera.viewmat)[:3, :3].T + np.asarray(camera.viewmat)[:3, 3]
    pixels = seen @ np.asarray(camera.K).T
    places = pixels[:, :2] / pixels[:, 2:] / 32
    wanted = np.clip([*places.min(0), *places.max(0)], 0, 1)
    np.testing.assert_allclose(shots.boxes[1], wanted, atol=1e-4)
    assert 0.3 < wanted[2] - wanted[0] < 0.9
