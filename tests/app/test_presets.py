"""What presets and flags mean."""

from __future__ import annotations

import numpy as np
import pytest

from gagjax.app import presets
from gagjax.app.commands.reenact import Reenact
from gagjax.errors import InputError
from gagjax.stack import STAGES


def on(stack) -> set[str]:
    return {name for name in STAGES if getattr(stack, name) is not None}


def test_without_flag_and_preset_nothing_runs():
    assert on(presets.stack_of(None)) == set()


def test_enhanced_is_all_four_flags(tmp_path):
    driver = tmp_path / "driver"
    all_flags = Reenact(driver, temporal_smooth=True, detail_enhance=True, expression_opt=True, gaze_correct=True)
    enhanced = Reenact(driver, enhanced=True)
    assert enhanced.enhancements() == all_flags.enhancements() == tuple(presets.ENHANCEMENTS)
    assert on(presets.stack_of(None, enhanced.enhancements())) == set(STAGES)


@pytest.mark.parametrize(
    ("flag", "stages"),
    [
        ("temporal_smooth", {"temporal"}),
        ("expression_opt", {"expression"}),
        ("gaze_correct", {"gaze"}),
        ("detail_enhance", {"detail", "eyes"}),
    ],
)
def test_each_flag_alone_switches_on_its_own_part(tmp_path, flag, stages):
    chosen = Reenact(tmp_path, **{flag: True}).enhancements()
    assert on(presets.stack_of(None, chosen)) == stages
    assert on(presets.stack_of("live", chosen)) == stages


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("default", set(STAGES) - {"gaze"}),
        ("live", set(STAGES) - {"gaze"}),
        ("quality", set(STAGES)),
        ("balanced", {"temporal", "detail", "eyes"}),
        ("fast", set()),
        ("interaction", {"expression", "gaze"}),
        ("smooth", {"temporal"}),
    ],
)
def test_named_presets(name, stages):
    assert on(presets.stack_of(name)) == stages


def test_a_scenario_and_a_flag_add_up():
    assert on(presets.stack_of("smooth", ("gaze",))) == {"temporal", "gaze"}


def test_a_file_sets_numbers(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("enable: [temporal]\nset: {temporal.jaw.highest: 9.5}\n")
    stack = presets.stack_of(str(file))
    assert on(stack) == {"temporal"}
    assert float(stack.temporal.jaw.highest) == 9.5
    default = presets.stack_of("smooth").temporal
    np.testing.assert_array_equal(stack.temporal.eyes.highest, default.eyes.highest)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("set: {temporal.jaw.highest: 0.5}", "in order"),
        ("enable: [temporal", "YAML"),
        ("- 1", "no preset"),
        ("preset: best", "preset"),
        ("enable: [smooth]", "enable"),
        ("set: {temporal.jaw.hightest: 1}", "highest"),
        ("enable: [detail]\nset: {temporal.jaw.highest: 1}", "not enabled"),
        ("set: {temporal.jaw: 1}", "number"),
        ("set: {temporal.jaw.highest: much}", "number"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path, text, named):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=named) as caught:
        presets.stack_of(str(file))
    assert str(file) in str(caught.value)


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(InputError, match="balanced"):
        presets.stack_of("balance")
