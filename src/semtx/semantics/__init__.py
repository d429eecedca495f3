"""Gene knowledge: tables, matching, texts, encoders, the store of vectors, and cell vectors. No AnnData, no torch at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.semantics._builtin import builtin_vectors
    from semtx.semantics._causal_lm import CausalLMEncoder
    from semtx.semantics._cell import score_genes, top_genes, weighted_semantics
    from semtx.semantics._cost import estimate_cost
    from semtx.semantics._encoder import Encoder, get_encoder
    from semtx.semantics._genes import excluded_genes
    from semtx.semantics._knowledge import load_online_table
    from semtx.semantics._match import GeneMatch, match_genes
    from semtx.semantics._openai import OpenAIEncoder
    from semtx.semantics._organism import detect_organism
    from semtx.semantics._prompt import Prompt
    from semtx.semantics._sentence_transformer import SentenceTransformerEncoder
    from semtx.semantics._store import EmbeddingStore
    from semtx.semantics._table import load_gene_table
    from semtx.semantics._text import gene_texts
    from semtx.semantics._vectors import read_vectors
    from semtx.semantics._vocabulary import Vocabulary, load_vocabulary

__all__ = [
    "CausalLMEncoder",
    "EmbeddingStore",
    "Encoder",
    "GeneMatch",
    "OpenAIEncoder",
    "Prompt",
    "SentenceTransformerEncoder",
    "Vocabulary",
    "builtin_vectors",
    "detect_organism",
    "estimate_cost",
    "excluded_genes",
    "gene_texts",
    "get_encoder",
    "load_gene_table",
    "load_online_table",
    "load_vocabulary",
    "match_genes",
    "read_vectors",
    "score_genes",
    "top_genes",
    "weighted_semantics",
]

_FILES = {
    "CausalLMEncoder": "_causal_lm",
    "EmbeddingStore": "_store",
    "Encoder": "_encoder",
    "GeneMatch": "_match",
    "OpenAIEncoder": "_openai",
    "Prompt": "_prompt",
    "SentenceTransformerEncoder": "_sentence_transformer",
    "Vocabulary": "_vocabulary",
    "builtin_vectors": "_builtin",
    "detect_organism": "_organism",
    "estimate_cost": "_cost",
    "excluded_genes": "_genes",
    "gene_texts": "_text",
    "get_encoder": "_encoder",
    "load_gene_table": "_table",
    "load_online_table": "_knowledge",
    "load_vocabulary": "_vocabulary",
    "match_genes": "_match",
    "read_vectors": "_vectors",
    "score_genes": "_cell",
    "top_genes": "_cell",
    "weighted_semantics": "_cell",
}

__getattr__, __dir__ = attach(__name__, __all__, **_FILES)
