"""Files of public data sets, downloaded once."""

from __future__ import annotations

import logging
from pathlib import Path

from semtx._settings import settings


def fetch(url: str, *, folder: str) -> Path:
    """Return the local copy of a file, downloading it on first use.

    Parameters
    ----------
    url
        ``http(s)://`` address; anything else is taken as a path and read where it lies.
    folder
        Folder below ``settings.datasetdir`` that keeps it.

    Raises
    ------
    FileNotFoundError
        A path that does not exist.
    ConnectionError
        The download failed; nothing is left behind.
    """
    if not url.startswith(("http://", "https://")):
        path = Path(url.removeprefix("file://"))
        if not path.is_file():
            msg = f"no such file: {path}"
            raise FileNotFoundError(msg)
        return path
    import pooch

    talk = pooch.get_logger()
    level = talk.level
    talk.setLevel(logging.WARNING)
    try:
        # pooch writes beside the target and renames at the end, so a broken download leaves nothing behind
        return Path(
            pooch.retrieve(url, known_hash=None, fname=url.rsplit("/", 1)[1], path=settings.datasetdir / folder)
        )
    except OSError as error:
        msg = f"could not download {url}: {error}; a mirror or a local copy can be named with base_url="
        raise ConnectionError(msg) from error
    finally:
        talk.setLevel(level)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, for the record of where data came from."""
    import pooch

    return pooch.file_hash(str(path))
