"""What the page's run button runs: which commands, with which files, and the preset that holds the sliders."""

from __future__ import annotations

import pytest
import yaml

from gagjax.app import presets
from gagjax.app.cli import main, parse
from gagjax.app.web.plan import PRESETS, Choices, enhancements_of, plan, preset_text, sliders_of
from gagjax.app.web.running import Cancelled, Failed, Running, command_of
from gagjax.errors import InputError
from gagjax.io.tracks import load_track, save_track
from gagjax.simulate import driver


@pytest.fixture
def dropped(tmp_path):
    """A film's name, a track, and another track of the same name."""
    folder = tmp_path / "dropped"
    (folder / "other").mkdir(parents=True)
    (folder / "my film.mp4").write_bytes(b"film")
    save_track(driver(8, seed=1), folder / "talk.npz")
    save_track(driver(9, seed=2), folder / "other" / "talk.npz")
    return folder


def test_a_film_and_a_photo_become_commands_that_parse(dropped, tmp_path):
    film, photo = dropped / "my film.mp4", tmp_path / "me.jpg"
    made = plan(Choices((film,), photo), tmp_path / "out")
    kinds = [step.words[0] if step.words else "join" for step in made.steps]
    assert kinds == ["avatar", "reenact", "enhance", "reenact", "join"]
    for step in made.steps:
        if step.words:
            parse(step.words[0], step.words[1:])  # SystemExit on a word that the command does not know
    enhanced, track, plain = made.steps[1:4]
    assert "--preset" in enhanced.words and "--preset" not in plain.words
    assert track.words[1].endswith("my_film_tracked.npz")  # where reenact keeps the track of a film
    assert made.steps[4].joins == (plain.makes, enhanced.makes)
    assert (made.folder / "drivers" / "my_film.mp4").read_bytes() == b"film"
    assert command_of(made.steps[0]).startswith("gagjax avatar ")


def test_drivers_of_one_name_are_kept_apart_and_runs_too(dropped, tmp_path):
    both = (dropped / "talk.npz", dropped / "other" / "talk.npz")
    first = plan(Choices(both, compare=False), tmp_path / "out")
    again = plan(Choices(both, compare=False), tmp_path / "out")
    assert first.folder != again.folder
    assert [each.name for each in first.results] == ["talk", "talk_2"]
    assert [len(load_track(first.folder / "drivers" / f"{n}.npz")) for n in ("talk", "talk_2")] == [8, 9]
    assert len({step.makes for step in first.steps}) == len(first.steps) == 4


def test_a_picture_has_no_track(tmp_path):
    (tmp_path / "still.png").write_bytes(b"")
    made = plan(Choices((tmp_path / "still.png",), compare=False), tmp_path / "out")
    assert [step.words[0] for step in made.steps] == ["reenact"]
    assert made.results[0].track is None


@pytest.mark.parametrize("name", PRESETS)
def test_untouched_sliders_are_the_preset_itself(name):
    text = preset_text(Choices((), preset=name, enable=enhancements_of(name), values=sliders_of(name)))
    made, own = presets.stack_of("x.yaml", text=text), presets.stack_of(name)
    assert yaml.safe_load(text)["set"] == {}
    for stage in ("temporal", "expression", "gaze", "detail", "eyes"):
        assert (getattr(made, stage) is None) == (getattr(own, stage) is None), stage


def test_a_slider_reaches_the_stack_and_one_of_a_stage_that_is_off_does_not():
    values = sliders_of("default") | {"temporal.jaw.lowest": 3.0, "gaze.strength": 0.3}
    text = preset_text(Choices((), preset="default", enable=("temporal",), values=values))
    assert yaml.safe_load(text)["set"] == {"temporal.jaw.lowest": 3.0}
    assert float(presets.stack_of("x.yaml", text=text).temporal.jaw.lowest) == 3.0


def test_what_is_missing_is_said_before_anything_is_made(dropped, tmp_path):
    (dropped / "notes.txt").write_text("x")
    (dropped / "bad.yaml").write_text("preset: nothing")
    out = tmp_path / "out"
    for choices, named in (
        (Choices(()), "driver"),
        (Choices((dropped / "notes.txt",)), "notes.txt"),
        (Choices((dropped / "talk.npz",), file=dropped / "bad.yaml"), "nothing"),
    ):
        with pytest.raises(InputError, match=named):
            plan(choices, out)
    with pytest.raises(InputError, match="photo"):
        plan(Choices((dropped / "talk.npz",)), out, checkpoint=tmp_path / "GAGAvatar.pt")
    assert not out.exists()


@pytest.mark.timeout(300)
def test_a_run_says_what_its_commands_say_and_leaves_their_files(dropped, tmp_path):
    made = plan(Choices((dropped / "talk.npz",), size=64), tmp_path / "out")
    updates = list(Running(made))
    assert [update.step for update in updates] == sorted(update.step for update in updates)
    assert updates[-1].share == 1.0 and updates[-1].step == len(made.steps) - 1
    shares = [u.share for u in updates if u.share is not None and u.what != "done"]
    assert shares and all(0 <= share <= 1 for share in shares)
    lines = [update.line for update in updates if update.line]
    assert any(line.startswith("$ gagjax reenact") for line in lines)
    assert any("8 frames at 25 fps" in line for line in lines)
    result = made.results[0]
    assert len(load_track(result.track)) == 8
    from gagjax.io import video

    left, right, joined = (video.info(path) for path in (made.steps[2].makes, result.video, result.shown))
    assert joined.frames == left.frames == right.frames == 8 and joined.width > 2 * 64
    # The page's preset is one that commands take.
    again = tmp_path / "again.npz"
    assert main(["enhance", str(dropped / "talk.npz"), "-o", str(again), "--preset", str(made.preset)]) == 0


@pytest.mark.timeout(120)
def test_a_command_that_fails_stops_the_run_with_its_own_words(dropped, tmp_path):
    (dropped / "empty.npz").write_bytes(b"")
    made = plan(Choices((dropped / "empty.npz",), compare=False), tmp_path / "out")
    with pytest.raises(Failed, match=r"error: .*empty\.npz"):
        list(Running(made))


@pytest.mark.timeout(120)
def test_cancelling_ends_the_command_and_leaves_no_half_file(dropped, tmp_path):
    made = plan(Choices((dropped / "talk.npz",), size=64, compare=False), tmp_path / "out")
    running = Running(made)
    with pytest.raises(Cancelled):
        for update in running:
            if update.what == "starting":
                running.cancel()
    assert running._process is None or running._process.poll() is not None
    assert sorted(each.name for each in made.folder.iterdir()) == ["drivers", "preset.yaml"]
