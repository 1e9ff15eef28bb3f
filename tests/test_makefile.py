"""What the Makefile calls exists and takes the options that it is given."""

from __future__ import annotations

import re
from pathlib import Path

from gagjax.app.cli import parse
from gagjax.app.commands.demo import Demo

MAKEFILE = Path(__file__).resolve().parents[1] / "Makefile"


def test_the_demo_takes_the_makefiles_options():
    words = re.search(r"\$\(BIN\)/gagjax demo (.*)", MAKEFILE.read_text()).group(1).replace("$(OUT)", "there").split()
    assert parse("demo", words) == Demo(out=Path("there"), force=True)


def test_modules_that_are_run_exist():
    for module in re.findall(r"-m (benchmarks\.\w+)", MAKEFILE.read_text()):
        assert (MAKEFILE.parent / (module.replace(".", "/") + ".py")).is_file()


def test_make_bench_knows_every_benchmark():
    from benchmarks.run_all import BENCHMARKS

    helpers = {"__init__", "common", "pictures", "torch_original", "torch_rasterizer", "run_all", "train_networks"}
    helpers |= {
        "figures",
        "fuzz_loaders",
        "calibrate_marking",
        "calibrate_points",
        "tracking_truth",
        "tracking_published",
        "tracking_failures",
    }
    assert {path.stem for path in (MAKEFILE.parent / "benchmarks").glob("*.py")} - helpers == set(BENCHMARKS)
