"""Every loader: what once was a finding stays fixed, and spoiled files give a value or one `InputError`.

`python -m benchmarks.fuzz_loaders` does the same with a hundred thousand cases and led by coverage.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from gagjax.errors import InputError
from tests.fuzz.loaders import LOADERS, case

pytestmark = pytest.mark.misuse  # what is wrong on purpose is for our own checks to find

CORPUS = Path(__file__).parent / "corpus"
NEEDS_TORCH = {"identity", "avatar-ply", "torch", "portraits"}
CASES = 150


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged files loaders warn, too
        yield


def loader(name):
    if name in NEEDS_TORCH:
        pytest.importorskip("torch", reason="writes the files with torch")
    return LOADERS[name]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_findings_stay_fixed(path):
    with pytest.raises(InputError, match=path.name) as caught:
        loader(path.parent.name).load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", LOADERS)
def test_spoiled_files_are_read_or_refused(name, tmp_path):
    """Any other exception fails the test by itself."""
    subject, random = loader(name), np.random.default_rng(7)
    seeds = subject.seeds()
    path = tmp_path / f"case{subject.suffix}"
    refused = 0
    for data in [case(subject, seeds, random) for _ in range(CASES)]:
        path.write_bytes(data)
        try:
            subject.load(path)
        except InputError as error:
            refused += 1
            assert len(str(error)) < 2000
    assert refused > CASES / 10, "the cases are too tame to tell anything"


@pytest.mark.parametrize("name", [name for name in LOADERS if name != "preset"])
def test_the_files_to_begin_from_are_sound(name, tmp_path):
    subject = loader(name)
    path = tmp_path / f"good{subject.suffix}"
    for data in subject.seeds():
        path.write_bytes(data)
        subject.load(path)
