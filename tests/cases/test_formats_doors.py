"""Every command takes what the others take, and every way out that a message names works on the file that brought it up."""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import pathlib
import pickle
import types

import numpy as np
import pytest

import gagjax as gj
from gagjax.app.batch.jobs import jobs_of
from gagjax.app.cli import main
from gagjax.app.commands import info
from gagjax.app.workflows import ablate
from gagjax.errors import InputError
from gagjax.io import tracks
from gagjax.io.formats import json_lines
from gagjax.io.untrusted.checkpoints import load_npz, load_pickle
from gagjax.stack import Stack, enhance_track
from gagjax.tuning import tracks as tuning_tracks
from tests.cases.test_formats import dump, run, same_bits, vhap_folder
from tests.io import make

FAST = ("--preset", "fast")


def refusal(capsys, *words):
    """The message of a command that refuses its input."""
    capsys.readouterr()
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and len(said.splitlines()) == 1
    return said


# The same doors


def test_enhance_takes_several_tracks_and_keeps_names_and_formats(tmp_path):
    dump(tmp_path / "a.pkl", make.template(4, ratios=""))
    dump(tmp_path / "b.pkl", make.records(4))
    np.savez(tmp_path / "c.npz", **make.parameters(4))
    vhap_folder(tmp_path / "d" / "flame_param", make.parameters(4), range(4))
    sources = [tmp_path / name for name in ("a.pkl", "b.pkl", "c.npz", "d")]
    assert run("enhance", *sources, "-o", tmp_path / "out", *FAST) == 0
    for source in sources:
        assert tracks.find(tmp_path / "out" / source.name).format == tracks.find(source).format
    same_bits(*(pickle.loads((folder / "a.pkl").read_bytes()) for folder in (tmp_path, tmp_path / "out")))
    assert (tmp_path / "out" / "d" / "flame_param" / "00003.npz").is_file()


def test_enhance_of_several_says_what_stands_in_its_way(tmp_path, capsys):
    for folder in ("x", "y"):
        dump(tmp_path / folder / "a.pkl", make.records(3))
    both = [tmp_path / "x" / "a.pkl", tmp_path / "y" / "a.pkl"]
    assert "both become" in refusal(capsys, "enhance", *both, "-o", tmp_path / "out", *FAST)
    both[1] = both[1].rename(tmp_path / "y" / "b.pkl")  # "Rename one"
    assert "one file for 2 tracks" in refusal(capsys, "enhance", *both, "-o", tmp_path / "out.pkl", *FAST)
    assert run("enhance", *both, "-o", tmp_path / "out", *FAST) == 0  # "Name a folder"
    assert "exists already" in refusal(capsys, "enhance", *both, "-o", tmp_path / "out", *FAST)
    assert run("enhance", *both, "-o", tmp_path / "out", "--force", *FAST) == 0
    assert "its own result" in refusal(
        capsys, "enhance", both[0], tmp_path / "y" / "b.pkl", "-o", tmp_path / "x", *FAST
    )


def test_batch_finds_what_info_finds(tmp_path):
    torch = pytest.importorskip("torch")
    dump(tmp_path / "in" / "folder" / "optim.pkl", make.records(3))
    vhap_folder(tmp_path / "in" / "frames" / "flame_param", make.parameters(3), range(3))
    vhap_folder(tmp_path / "in" / "bare", make.parameters(3), range(3))
    torch.save(
        {k: {n: torch.tensor(x) for n, x in v.items()} for k, v in make.records(3).items()}, tmp_path / "in" / "t.pt"
    )
    torch.save({"a.weight": torch.zeros(2), "a.bias": torch.zeros(2)}, tmp_path / "in" / "network.pt")
    torch.save({"1.jpg": make.records(1)["clip_0"]}, tmp_path / "in" / "tracked.pt")
    (tmp_path / "in" / "notes.txt").write_text("x")
    (tmp_path / "in" / "tracked.pt").rename(tmp_path / "in" / "portraits.pt")
    found = {pathlib.Path(job.source).name for job in jobs_of([str(tmp_path / "in")], str(tmp_path / "out"))}
    assert found == {"folder", "frames", "bare", "t.pt"}
    assert run("enhance", tmp_path / "in" / "t.pt", tmp_path / "in" / "folder", "-o", tmp_path / "both", *FAST) == 0
    assert sorted(p.name for p in (tmp_path / "both").iterdir()) == ["folder", "t.pt"]
    for name in found:
        assert "frames" in dict(info.describe(tmp_path / "in" / name)[1])
    (job,) = jobs_of([str(tmp_path / "in" / "t.pt")], str(tmp_path / "out"))
    assert job.result.endswith("t.npz")


def test_a_mixed_set_is_tuned_on_what_all_hold():
    a = make.track(20, extra={"bbox": np.ones((20, 4))}, neck=np.ones((20, 3)))
    b = make.track(15, fps=30, extra={"bbox": np.ones((15, 4)), "own": np.ones((15, 2))})
    alike, left_out = tuning_tracks.shared([a, b])
    assert left_out == ("neck", "own") and all(list(t.extra) == ["bbox"] and t.neck is None for t in alike)
    assert len(tuning_tracks.together(alike)) == 35 and alike[1].fps == 30
    turned = make.track(9, extra={"bbox": np.ones((9, 3))})
    assert tuning_tracks.shared([a, turned])[1] == ("bbox", "neck")


def test_fewer_coefficients_are_padded_by_every_reader(tmp_path):
    records = make.records(3)
    for record in records.values():
        record["expcode"], record["shapecode"] = record["expcode"][:50], record["shapecode"][None, :100]
    dump(tmp_path / "optim.pkl", records)
    np.savez(tmp_path / "v.npz", **make.parameters(3) | {"expr": np.ones((3, 50)), "shape": np.ones(100)})
    gj.save_track(make.track(3, shape=np.ones(300)), tmp_path / "n.npz")
    content = dict(np.load(tmp_path / "n.npz"))
    np.savez(tmp_path / "n.npz", **content | {"expression": content["expression"][:, :50], "shape": np.ones(100)})
    for name in ("optim.pkl", "v.npz", "n.npz"):
        track = gj.load_track(tmp_path / name)
        assert track.expression.shape == (3, 100) and not np.any(np.asarray(track.expression)[:, 50:])
        assert track.shape.shape == (300,) and not np.any(np.asarray(track.shape)[100:])
        assert np.any(np.asarray(track.expression)[:, :50])
    records["clip_1"]["expcode"] = np.zeros(40, np.float32)
    with pytest.raises(InputError, match=r"clip_1\.expcode.*40"):
        gj.load_track(dump(tmp_path / "optim.pkl", records))


@pytest.mark.parametrize("stride", [1, 3])
def test_nothing_scores_one_by_construction(tmp_path, stride):
    made = make.track(60, seed=3)
    numbers = [stride * i for i in range(60)]
    content = dict(zip([f"clip_{n}" for n in numbers], make.records(60).values(), strict=True))
    del content[f"clip_{numbers[7]}"], made
    clips = ablate.clips_of([str(dump(tmp_path / "optim.pkl", content))], 2, 20)
    for clip in clips:
        values = ablate._shares(enhance_track(Stack(), clip.noisy), clip)
        assert values["error"] == 1 and values["bend"] in (1, pytest.approx(np.nan, nan_ok=True))
    assert stride > 1 or values["bend"] == 1


def test_a_track_of_every_third_frame_moves(tmp_path, capsys):
    content = dict(zip([f"clip_{3 * i}" for i in range(30)], make.records(30).values(), strict=True))
    assert run("enhance", dump(tmp_path / "optim.pkl", content), "-o", tmp_path / "a.npz", *FAST) == 0
    said = capsys.readouterr().out
    assert "nothing moves" not in said and "expression" in said
    assert run("info", tmp_path / "optim.pkl") == 0 and "jitter, expression" in capsys.readouterr().out


# Ways out


def test_in_place_takes_effect_or_is_refused(tmp_path, capsys):
    clip = tmp_path / "clip"
    dump(clip / "optim.pkl", make.records(3))
    before = (clip / "optim.pkl").read_bytes()
    assert "holds optim.pkl" in refusal(capsys, "enhance", clip, "-o", clip, "--force", *FAST)
    assert [p.name for p in clip.iterdir()] == ["optim.pkl"] and (clip / "optim.pkl").read_bytes() == before
    assert run("enhance", clip, "-o", tmp_path / "other", *FAST) == 0  # "Choose another folder"
    (clip / "optim.pkl").rename(clip / "smoothed.pkl")
    jaw = np.asarray(gj.load_track(clip).jaw)
    assert run("enhance", clip, "-o", clip, "--force", "--preset", "smooth", "--enable", "temporal") == 0
    assert np.abs(np.asarray(gj.load_track(clip).jaw) - jaw).max() > 1e-6
    vhap = tmp_path / "vhap"
    vhap_folder(vhap / "flame_param", make.parameters(6), range(6))
    assert run("enhance", vhap, "-o", vhap, "--force", *FAST) == 0
    track = gj.load_track(vhap)
    with pytest.raises(InputError, match=r"00004, 00005"):  # they would be read among what is written
        tracks.save_track(track[:4], vhap, format="vhap", force=True)
    tracks.save_track(track[:4], tmp_path / "short", format="vhap")


def test_an_output_without_suffix_is_explained(tmp_path, capsys):
    template = dump(tmp_path / "talking.pkl", make.template(4, ratios=""))
    said = refusal(capsys, "enhance", template, "-o", tmp_path / "out", *FAST)
    assert "no suffix" in said and "out.pkl" in said and f"{tmp_path / 'out'}/" in said
    assert run("enhance", template, "-o", tmp_path / "out.pkl", *FAST) == 0
    assert run("enhance", template, "-o", f"{tmp_path / 'out'}/", *FAST) == 0
    for path in (tmp_path / "out.pkl", tmp_path / "out" / "talking.pkl"):
        assert tracks.find(path).format == "liveportrait"
    assert run("enhance", dump(tmp_path / "optim.pkl", make.records(4)), "-o", tmp_path / "driver", *FAST) == 0
    assert "a folder, since it has no suffix" in capsys.readouterr().out
    said = refusal(capsys, "enhance", template, "-o", tmp_path / "a.yaml", *FAST)
    assert "suffix .yaml" in said and "Use .npz, .pkl, .pt, .csv, .json, or none" in said


def test_two_keys_of_one_number_and_absurd_gaps_have_a_way_out(tmp_path, capsys):
    content = make.records(3) | {"clip_01": make.records(1)["clip_0"]}
    path = dump(tmp_path / "optim.pkl", content)
    assert "Remove one" in refusal(capsys, "info", path)
    del content["clip_01"]
    assert run("info", dump(path, content)) == 0
    jump = make.records(2, numbers=[0, 999_999])
    assert "Split it" in refusal(capsys, "info", dump(path, jump))
    assert run("info", dump(path, {"clip_0": jump["clip_0"]})) == 0
    # Dates are no frame numbers: nothing is made up between them.
    dates = dict(zip(["20240101.png", "20250630.png"], jump.values(), strict=True))
    assert gj.load_track(dump(path, dates)).valid.tolist() == [True, True]


HARMLESS = {
    "path": pathlib.PurePosixPath("a/b"),
    "namespace": argparse.Namespace(a=1),
    "simple": types.SimpleNamespace(a=1),
    "date": datetime.datetime(2026, 1, 1),
    "objects": np.array([1, "x", None], object),
    "record": np.zeros(2, [("a", "f4"), ("b", "i4")]),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_objects_are_not_called_hostile(tmp_path, name, capsys):
    content = {**make.records(2), "config": HARMLESS[name]}
    said = refusal(capsys, "info", dump(tmp_path / "optim.pkl", content))
    assert "Save its arrays" in said and "Do not open" not in said and "refused" not in said
    del content["config"]
    assert run("info", dump(tmp_path / "optim.pkl", content)) == 0


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("call", [(eval, "1"), (pathlib.os.system, "true"), (np.load, "x"), (getattr, "a", "b")])
def test_programs_are_still_called_so(tmp_path, call):
    path = dump(tmp_path / "optim.pkl", {"a": Evil(*call)})
    with pytest.raises(InputError, match=r"was refused: it mentions .* Do not open it"):
        load_pickle(path)


def test_dicts_with_defaults_are_data(tmp_path):
    content = collections.defaultdict(dict, make.records(3))
    assert len(gj.load_track(dump(tmp_path / "optim.pkl", content))) == 3


def test_object_arrays_in_an_archive_have_a_way_out(tmp_path):
    content = make.parameters(3)
    np.savez(tmp_path / "a.npz", **content, names=np.array(["a", None, 3], object))
    with pytest.raises(InputError, match=r"names: holds Python objects.*Save arrays of numbers or text") as error:
        load_npz(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(error.value) and "Do not open" not in str(error.value)
    np.savez(tmp_path / "a.npz", **content, names=np.array(["a", "b"]))
    assert len(gj.load_track(tmp_path / "a.npz")) == 3


def test_a_cut_file_is_damaged_and_not_hostile(tmp_path, capsys):
    data = pickle.dumps(make.records(3))
    for cut in (len(data) // 3, len(data) - 1):
        (tmp_path / "optim.pkl").write_bytes(data[:cut])
        said = refusal(capsys, "info", tmp_path / "optim.pkl")
        assert "damaged or cut off" in said and "Do not open" not in said


def test_torch_files_under_other_names_and_in_the_old_format(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    content = {k: {n: torch.tensor(x) for n, x in v.items()} for k, v in make.records(3).items()}
    torch.save(content, tmp_path / "optim.pkl")
    assert "Name it .pt" in refusal(capsys, "info", tmp_path / "optim.pkl")
    (tmp_path / "optim.pkl").rename(tmp_path / "optim.pt")
    assert run("info", tmp_path / "optim.pt") == 0
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    said = refusal(capsys, "info", tmp_path / "old.pt")
    assert "torch.save(torch.load(FILE, weights_only=True), NEW)" in said
    torch.save(torch.load(tmp_path / "old.pt", weights_only=True), tmp_path / "new.pt")
    assert run("info", tmp_path / "new.pt") == 0


def test_torch_files_are_told_apart(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    for name, content in {
        "motion": {"expcode": torch.zeros(9, 100), "mood": torch.zeros(9, 6)},
        "tensor": torch.zeros(9, 107),
    }.items():
        torch.save(content, tmp_path / f"{name}.pt")
        said = refusal(capsys, "info", tmp_path / f"{name}.pt")
        assert "holds no track" in said and "network" not in said
    weights = {"head_base": torch.zeros(3, 2), "layer.weight": torch.zeros(2)}
    for prefix, wrap in (
        ("module.", lambda x: x),
        ("", lambda x: {"model": x}),
        ("_orig_mod.module.", lambda x: {"model": x}),
    ):
        torch.save(wrap({prefix + key: value for key, value in weights.items()}), tmp_path / "a.pt")
        title, lines, _ = info.describe(tmp_path / "a.pt")
        assert title == "GAGAvatar checkpoint" and dict(lines).get("prefix", "") == (
            f"{prefix} before every name" if prefix else ""
        )
        with pytest.raises(InputError, match="network's checkpoint"):
            gj.load_track(tmp_path / "a.pt")
    torch.save({"a.weight": torch.zeros(2), "a.bias": torch.zeros(2)}, tmp_path / "b.pt")
    assert info.describe(tmp_path / "b.pt")[0] == "weights of a network"


def test_info_says_what_is_carried_along(tmp_path):
    np.savez(tmp_path / "a.npz", **make.parameters(3), focal_length=np.ones(1))
    gj.save_track(gj.load_track(tmp_path / "a.npz"), tmp_path / "b.npz")
    for name in ("a.npz", "b.npz"):
        assert dict(info.describe(tmp_path / name)[1])["carried along"] == "focal_length, static_offset"
    assert main(["info", str(tmp_path / "a.npz")]) == 0


def test_lines_are_padded_too():
    frame = {"expression": [1.0] * 50, "jaw": [0] * 3, "eyes": [0] * 6, "transform": np.eye(3, 4).tolist()}
    channels = json_lines.parse(json.dumps(frame)).channels
    assert channels is not None and channels.expression.shape == (100,) and channels.expression.sum() == 50
    with pytest.raises(InputError, match="expression"):
        json_lines.parse(json.dumps(frame | {"expression": [1.0] * 101}))
