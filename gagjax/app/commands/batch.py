"""`gagjax batch`: enhance many clips, on one machine or on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gagjax.errors import InputError


@dataclass
class Batch:
    """Enhance many clips into a folder; run the same command again to resume.

    Inputs are tracks and videos, folders of them, or URLs that fsspec supports (s3://, gs://, file://). A track becomes
    OUT/NAME.npz (with --keep-format a file of its own format), a video OUT/NAME.mp4. OUT/manifest.jsonl records for each clip whether it is done or why it failed;
    a failing clip does not stop the others. The next run skips clips that are done.

    examples:
      gagjax batch clips/*.npz -o steady/
      gagjax batch clips/ -o steady/ --workers 4 --preset mine.yaml
      gagjax batch clips/ -o steady/ --retry
      gagjax batch s3://bucket/a.npz s3://bucket/b.npz -o s3://bucket/steady --manifest steady.jsonl --engine ray
    """

    inputs: tyro.conf.Positional[tuple[str, ...]]
    """Tracks and videos, folders of them, or URLs."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Output folder or URL."""
    preset: str = "default"
    """default, live, reference, quality, balanced, fast, interaction, smooth, or a preset file."""
    engine: Literal["local", "ray"] = "local"
    """local: processes on this machine. ray: the Ray cluster at RAY_ADDRESS, or Ray on this machine."""
    workers: int = 1
    """Number of clips processed in parallel, one process each; results do not depend on it."""
    manifest: Path | None = None
    """Path of the manifest; OUT/manifest.jsonl by default, required if OUT is a URL."""
    retry: bool = False
    """Also process clips that failed before."""
    force: bool = False
    """Process every clip again, whatever the manifest says, and replace the results."""
    fps: str | None = None
    """Frame rate to assume for tracks whose file has none; 25 by default."""
    keep_format: bool = False
    """Write each track in the format and under the name that it has, instead of as .npz."""

    def run(self) -> int:
        if not self.inputs:
            raise InputError("names no input", field="inputs", fix="Pass tracks or videos, or folders of them")
        if not 1 <= self.workers <= 1024:
            raise InputError(f"is {self.workers}", field="--workers", fix="Use 1 to 1024")
        from gagjax.app import presets
        from gagjax.app.batch.executors import EXECUTORS
        from gagjax.app.batch.jobs import config_of, jobs_of, run_jobs
        from gagjax.app.batch.manifest import Manifest
        from gagjax.app.batch.processing import is_url

        presets.stack_of(self.preset)  # report an unusable preset before any work
        jobs = jobs_of(self.inputs, self.out, keep=self.keep_format)
        where = self.manifest
        if where is None:
            if is_url(self.out):
                raise InputError("is to be given", field="--manifest", fix="A URL cannot be appended to: name a file")
            where = Path(self.out) / "manifest.jsonl"
        config = config_of(self.preset, self.fps, keep=self.keep_format)
        with Manifest.opened(where, config, force=self.force) as manifest:
            counts = run_jobs(
                jobs, manifest, config, executor=EXECUTORS[self.engine], workers=self.workers, retry=self.retry
            )
        print(f"{self.out}: {counts.done} done, {counts.before} done before, {counts.failed} failed")
        if counts.failed:
            print(f"{where} says why; --retry tries them again")
        return 1 if counts.failed else 0
