"""FLAME files in every layout that users have, and files that are none."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
import scipy.sparse

from gagjax import InputError, flame

COUNT = 40
RNG = np.random.default_rng(0)


def arrays() -> dict[str, np.ndarray]:
    weights = np.abs(RNG.normal(size=(COUNT, 5)))
    regressor = np.abs(RNG.normal(size=(5, COUNT)))
    regressor[regressor < 0.5] = 0
    return {
        "v_template": RNG.normal(size=(COUNT, 3)),
        "shapedirs": RNG.normal(size=(COUNT, 3, 400)),
        "posedirs": RNG.normal(size=(COUNT, 3, 36)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "f": RNG.integers(0, COUNT, (60, 3)).astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)]),
    }


def embedding() -> dict[str, np.ndarray]:
    def bary(*shape):
        weights = np.abs(RNG.normal(size=(*shape, 3)))
        return weights / weights.sum(-1, keepdims=True)

    return {
        "static_lmk_faces_idx": RNG.integers(0, 60, 51),
        "static_lmk_bary_coords": bary(51),
        "dynamic_lmk_faces_idx": RNG.integers(0, 60, (79, 17)),
        "dynamic_lmk_bary_coords": bary(79, 17),
        "full_lmk_faces_idx_with_eye": RNG.integers(0, 60, (1, 70)),
        "full_lmk_bary_coords_with_eye": bary(1, 70),
    }


def check(model: flame.FlameModel, content: dict) -> None:
    for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights"):
        np.testing.assert_allclose(getattr(model, name), content[name], rtol=1e-6, err_msg=name)
        assert getattr(model, name).dtype == np.float32
    np.testing.assert_array_equal(model.faces, content["f"])
    assert model.parents == (-1, 0, 1, 1, 1)
    zero = np.zeros(6, np.float32)
    assert np.isfinite(flame.vertices(model, np.zeros(300), np.zeros(100), zero, zero)).all()


def test_the_file_of_gagavatar(tmp_path):
    torch = pytest.importorskip("torch")
    model, points = arrays(), embedding()
    tensors = {
        "flame_model": {
            k: torch.tensor(v.astype(np.int64 if v.dtype.kind in "iu" else np.float32)) for k, v in model.items()
        },
        "lmk_embeddings": {k: torch.tensor(v) for k, v in points.items()},
        "lmk_embeddings_mediapipe": {"lmk_face_idx": torch.zeros(105, dtype=torch.int64)},
    }
    torch.save(tensors, tmp_path / "FLAME_with_eye.pt")
    loaded = flame.load(tmp_path / "FLAME_with_eye.pt")
    check(loaded, model)
    np.testing.assert_array_equal(loaded.landmark_faces, points["full_lmk_faces_idx_with_eye"][0])
    np.testing.assert_array_equal(loaded.contour_faces, points["dynamic_lmk_faces_idx"])


def write_flame_project_file(path, content, monkeypatch) -> None:
    """As the FLAME project writes: Python-2 protocol, chumpy arrays, a SciPy sparse regressor."""

    class Ch:
        def __init__(self, x):
            self.x = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
        patch.setitem(sys.modules, "chumpy.ch", module)
        written = dict(content)
        for name in ("v_template", "shapedirs", "posedirs", "weights"):
            written[name] = Ch(content[name])
        written["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
        written["bs_type"], written["J"] = "lrotmin", Ch(np.zeros((5, 3)))
        path.write_bytes(pickle.dumps(written, protocol=2))


def test_the_files_of_the_flame_project(tmp_path, monkeypatch):
    content, points = arrays(), embedding()
    path = tmp_path / "generic_model.pkl"
    write_flame_project_file(path, content, monkeypatch)
    model = flame.load(path)
    check(model, content)
    assert len(model.landmark_faces) == 0 and not model.masks
    (tmp_path / "FLAME_masks.pkl").write_bytes(pickle.dumps({"nose": np.array([1, 5]), "lips": np.array([7])}, 2))
    inner = {"lmk_face_idx": points["static_lmk_faces_idx"], "lmk_b_coords": points["static_lmk_bary_coords"]}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(inner, 2))
    model = flame.load(path)
    assert sorted(model.masks) == ["lips", "nose"] and model.masks["nose"].sum() == 2 and model.masks["nose"][5] == 1
    assert model.landmark_bary.shape == (51, 3)
    (tmp_path / "points.pkl").write_bytes(pickle.dumps({k: v for k, v in points.items() if "full" not in k}))
    assert flame.load(path, landmarks=tmp_path / "points.pkl").landmark_faces.shape == (68,)


def test_loading_needs_neither_torch_nor_chumpy_nor_scipys_sparse(tmp_path, monkeypatch):
    write_flame_project_file(tmp_path / "flame2023.pkl", arrays(), monkeypatch)
    code = (
        "import sys; sys.modules['torch'] = sys.modules['chumpy'] = sys.modules['scipy.sparse'] = None\n"
        f"from gagjax import flame; print(len(flame.load({str(tmp_path / 'flame2023.pkl')!r}).v_template))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(COUNT)


def test_what_is_saved_comes_back(tmp_path):
    content, points = arrays(), embedding()
    model = flame.FlameModel(
        **{k: v for k, v in content.items() if k not in ("f", "kintree_table")},
        faces=content["f"],
        landmark_faces=points["full_lmk_faces_idx_with_eye"][0],
        landmark_bary=points["full_lmk_bary_coords_with_eye"][0],
        contour_faces=points["dynamic_lmk_faces_idx"],
        contour_bary=points["dynamic_lmk_bary_coords"],
        masks={"nose": RNG.uniform(size=COUNT)},
        colors=RNG.uniform(size=(COUNT, 3)),
    )
    flame.save(model, tmp_path / "head.pkl")
    back = flame.load(tmp_path / "head.pkl")
    assert jax.tree.structure(back) == jax.tree.structure(model)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(model), strict=True):
        np.testing.assert_array_equal(a, b)
    bare = dataclasses.replace(model, colors=None, contour_faces=None, contour_bary=None, masks={})
    flame.save(bare, tmp_path / "head.pkl", force=True)
    assert flame.load(tmp_path / "head.pkl").colors is None
    with pytest.raises(InputError, match="exists"):
        flame.save(model, tmp_path / "head.pkl")
    with pytest.raises(InputError, match=r"does not end in \.pkl"):
        flame.save(model, tmp_path / "head.pt")


def broken(name: str) -> dict:
    content = arrays()
    if name == "missing":
        del content["posedirs"], content["f"]
    elif name == "shape":
        content["weights"] = content["weights"][:, :4]
    elif name == "faces":
        content["f"] = content["f"] + 1000
    elif name == "nan":
        content["v_template"] = content["v_template"] * np.nan
    elif name == "joints":
        content["kintree_table"] = np.zeros((2, 24), int)
    elif name == "tree":
        content["kintree_table"] = np.array([[0, 3, 1, 1, 1], range(5)])
    elif name == "words":
        content["weights"] = "many"
    return content


CASES = {
    "missing": r"lacks posedirs, f\. Pass FLAME_with_eye",
    "shape": r"weights: has shape \(40, 4\), expected \(40, 5\)",
    "faces": "faces: refers to 10",
    "nan": "v_template: holds values that are not finite",
    "joints": "kintree_table: has shape",
    "tree": "is no tree",
    "words": "weights: is not an array of numbers",
}


@pytest.mark.misuse
@pytest.mark.parametrize("name", CASES)
def test_what_is_no_flame_model_is_refused_by_name(tmp_path, name):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(broken(name)))
    with pytest.raises(InputError, match=r"model\.pkl.*" + CASES[name]):
        flame.load(path)


class Hostile:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


def test_a_hostile_file_runs_nothing(tmp_path):
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(arrays() | {"J": Hostile()}))
    with pytest.raises(InputError, match="refused"):
        flame.load(path)
    with pytest.raises(InputError, match="does not exist"):
        flame.load(tmp_path / "nowhere.pt")


def test_masks_and_embeddings_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(arrays()))
    (tmp_path / "masks.pkl").write_bytes(pickle.dumps({"nose": np.array([COUNT])}))
    with pytest.raises(InputError, match=r"masks\.pkl: nose: is no list of vertex numbers below 40"):
        flame.load(path, masks=tmp_path / "masks.pkl")
    (tmp_path / "points.pkl").write_bytes(pickle.dumps({"points": 3}))
    with pytest.raises(InputError, match=r"points\.pkl: holds no landmark embedding"):
        flame.load(path, landmarks=tmp_path / "points.pkl")
