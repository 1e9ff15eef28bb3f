"""Files at URLs, through fsspec: any store for which the user has the package (s3fs, gcsfs and so on)."""

from __future__ import annotations

from pathlib import Path

import fsspec

from gagjax.errors import InputError


def get_file(url: str, folder: Path) -> Path:
    """Download the file at a URL into a folder, under its own name.

    Raises:
        InputError: If it does not exist or cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = folder / Path(url).name
    try:
        system, path = fsspec.core.url_to_fs(url)
        system.get_file(path, str(here))
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"cannot be fetched: {error}", file=url) from error
    return here


def put_file(made: Path, url: str) -> None:
    """Upload a file to a URL atomically: object stores publish it when complete, others rename it into place.

    Raises:
        InputError: If it cannot be written.
    """
    try:
        system, path = fsspec.core.url_to_fs(url)
        system.makedirs(system._parent(path), exist_ok=True)
        temporary = f"{path}.partial"
        system.put_file(str(made), temporary)
        system.mv(temporary, path)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"cannot be written: {error}", file=url) from error
