"""Vectors of texts on disk, so that no text is embedded twice."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from semtx._logging import logger
from semtx._progress import progress_bar
from semtx._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from semtx.semantics._encoder import Encoder

_FORMAT = "1"
_DAMAGED = (zipfile.BadZipFile, ValueError, KeyError, EOFError)
_UNFINISHED = ".unfinished"
_PIECES = 32  # files merged into one: a damaged file never costs much
_ONE_DAY = 86_400


class EmbeddingStore:
    """Stored vectors, keyed by the identity of the encoder, the template and the SHA-256 of the text.

    Each encoder and template has a folder of small ``.npz`` files that are written once, under a name of their own,
    and moved into place: two processes never touch the same file, a kill leaves at most an unfinished file that nobody
    reads, and a damaged file is noticed by its checksum, removed, and its texts are embedded again. Texts themselves
    are not stored.

    Parameters
    ----------
    folder
        Where to keep the vectors; ``None`` is ``embeddings`` in ``settings.cachedir``.
    batch_size
        Texts between two writes: what a kill can lose.

    Examples
    --------
    >>> import numpy as np
    >>> from semtx.semantics import EmbeddingStore
    >>> class Lengths:
    ...     name, dimension, identity = "lengths", 1, {"backend": "lengths"}
    ...
    ...     def embed(self, texts):
    ...         print("embedding", texts)
    ...         return np.array([[len(text)] for text in texts], dtype=np.float32)
    >>> from tempfile import mkdtemp
    >>> store = EmbeddingStore(mkdtemp())
    >>> _ = store.embed(Lengths(), ["MBP", "SNAP25", "MBP"])
    embedding ['MBP', 'SNAP25']
    >>> store.embed(Lengths(), ["GFAP", "MBP"])
    embedding ['GFAP']
    array([[4.],
           [3.]], dtype=float32)
    """

    def __init__(self, folder: str | Path | None = None, *, batch_size: int = 128) -> None:
        self.folder = settings.cachedir / "embeddings" if folder is None else Path(folder).expanduser()
        self._batch_size = batch_size

    def embed(self, encoder: Encoder, texts: Sequence[str], template: str = "") -> NDArray[np.float32]:
        """Return one vector per text; only texts that the store has never seen go to the encoder.

        Parameters
        ----------
        encoder
            What embeds.
        texts
            Any texts; equal ones are embedded once.
        template
            Name and version of the template that made the texts.

        Returns
        -------
        float32, shape (len(texts), dimension).

        Raises
        ------
        ValueError
            The encoder returned something other than one finite vector of the same length per text.
        """
        if not len(texts):
            return np.zeros((0, encoder.dimension), dtype=np.float32)
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        shelf = self._shelf(encoder, template)
        found = dict(shelf.read(set(keys)))
        unseen = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if unseen:
            logger.info("%s: %d of %d texts are new", encoder.name, len(unseen), len(set(keys)))
            dimension = next((len(vector) for vector in found.values()), None)
            found.update(self._embed_unseen(encoder, unseen, shelf, dimension))
        return np.stack([found[key] for key in keys])

    def _shelf(self, encoder: Encoder, template: str) -> _Shelf:
        told = {"format": _FORMAT, "template": template, "encoder": encoder.identity}
        about = json.dumps(told, sort_keys=True, ensure_ascii=False, indent=1)
        return _Shelf(self.folder / hashlib.sha256(about.encode()).hexdigest()[:32], about)

    def _embed_unseen(
        self, encoder: Encoder, unseen: dict[bytes, str], shelf: _Shelf, dimension: int | None
    ) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
        check_cost = getattr(encoder, "check_cost", None)
        if check_cost is not None:
            check_cost(list(unseen.values()))
        keys = list(unseen)
        starts = range(0, len(keys), self._batch_size)
        with progress_bar(len(starts), encoder.name, False if len(starts) == 1 else None) as bar:
            for start in starts:
                batch = keys[start : start + self._batch_size]
                vectors = np.asarray(encoder.embed([unseen[key] for key in batch]), dtype=np.float32)
                dimension = _checked(vectors, len(batch), dimension, encoder.name)
                shelf.add(batch, vectors)
                bar.update()
                yield from zip(batch, vectors, strict=True)
        shelf.merge()


class _Shelf:
    """The files of one encoder and template."""

    def __init__(self, folder: Path, about: str) -> None:
        self._folder = folder
        self._about = about
        self._added: list[Path] = []

    def read(self, wanted: set[bytes]) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
        """Return the wanted vectors that are there; remove damaged files."""
        for path in sorted(self._folder.glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as stored:
                    keys = _keys_of(stored)
                    if wanted.isdisjoint(keys):
                        continue
                    vectors = stored["vectors"]
                pairs = list(zip(keys, vectors, strict=True))
            except FileNotFoundError:  # another process has just merged it
                continue
            except _DAMAGED as error:
                logger.warning(
                    "a file of the embedding store is damaged (%s: %s); its texts are embedded again", path.name, error
                )
                path.unlink(missing_ok=True)
                continue
            yield from ((key, vector) for key, vector in pairs if key in wanted)

    def add(self, keys: list[bytes], vectors: NDArray[np.float32]) -> None:
        """Write one file; where that fails, say so: the vectors are not lost for the caller."""
        try:
            if not self._added:
                self._open()
            self._added.append(_save(self._folder, keys, vectors))
        except OSError as error:
            logger.warning("vectors could not be stored in %s (%s)", self._folder, error)

    def merge(self) -> None:
        """Make larger files of those that this call wrote; a piece goes only after its vectors are in a larger one."""
        for start in range(0, len(self._added), _PIECES):
            pieces = self._added[start : start + _PIECES]
            if len(pieces) == 1:
                continue
            keys: list[bytes] = []
            vectors = []
            try:
                for piece in pieces:
                    with np.load(piece, allow_pickle=False) as stored:
                        keys.extend(_keys_of(stored))
                        vectors.append(stored["vectors"])
                _save(self._folder, keys, np.concatenate(vectors))
            except (*_DAMAGED, OSError) as error:  # the pieces serve as well
                logger.debug("files of the embedding store were not merged: %s", error)
                continue
            for piece in pieces:
                piece.unlink(missing_ok=True)
        self._added.clear()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        about = self._folder / "about.json"
        if not about.exists():
            _write(about, lambda path: path.write_text(self._about, encoding="utf-8"))
        for path in self._folder.glob(f".*{_UNFINISHED}"):  # left by a killed process
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ONE_DAY:
                    path.unlink()


def _checked(vectors: NDArray[np.float32], n_texts: int, dimension: int | None, name: str) -> int:
    if vectors.ndim != 2 or len(vectors) != n_texts or dimension not in {None, vectors.shape[1]}:
        expected = f"({n_texts}, {dimension or 'd'})"
        msg = f"encoder {name!r} returned an array of shape {vectors.shape}, expected {expected}"
        raise ValueError(msg)
    if not np.isfinite(vectors).all():
        msg = f"encoder {name!r} returned NaN or infinite values; try dtype='float32'"
        raise ValueError(msg)
    return vectors.shape[1]


def _keys_of(stored: Mapping[str, NDArray]) -> list[bytes]:
    return [key.tobytes() for key in stored["keys"]]


def _save(folder: Path, keys: list[bytes], vectors: NDArray[np.float32]) -> Path:
    stored = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)
    path = folder / f"{uuid4().hex}.npz"

    def write(unfinished: Path) -> None:
        with unfinished.open("wb") as file:
            np.savez(file, keys=stored, vectors=vectors)
            file.flush()
            os.fsync(file.fileno())

    _write(path, write)
    return path


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a name that nobody reads, then move into place."""
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}{_UNFINISHED}")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
