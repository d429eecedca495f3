from __future__ import annotations

import numpy as np
import pytest

from semtx.semantics import builtin_vectors, load_vocabulary, match_genes
from semtx.semantics._query_space import QuerySpace, relevance, unit

GENES = ["MBP", "PLP1", "MAG", "MOBP", "SNAP25", "SYT1", "GRIN1", "HMGCR", "SQLE", "CLDN5", "ACTB", "no gene"]


@pytest.fixture(scope="module")
def space():
    match = match_genes(GENES, organism="human")
    return QuerySpace(builtin_vectors(match), match, is_builtin=True)


def nearest(space, answer, n=3):
    found = relevance(space.vectors, answer, np.ones(len(space.vectors), dtype=bool), n)
    return {GENES[place] for place in np.argsort(-found)[:n]}


def own(space, **options):
    """The same vectors, as if they were the user's."""
    return QuerySpace(space.vectors, space.match, is_builtin=False, **options)


def test_texts_by_words(space):
    assert nearest(space, space.text("myelin sheath")) <= {"MBP", "PLP1", "MAG", "MOBP"}
    assert nearest(space, space.text("synaptic transmission")) == {"SNAP25", "SYT1", "GRIN1"}
    answer = space.text("sterol biosynthetic process")
    assert nearest(space, answer, 2) == {"HMGCR", "SQLE"}
    assert load_vocabulary("human").find("sterol biosynthetic process") in answer.terms
    assert np.linalg.norm(answer.vector) == pytest.approx(1)


def test_terms_and_genes(space):
    row = load_vocabulary("human").find("GO:0042552")
    assert nearest(space, space.term(row)) <= {"MBP", "PLP1", "MAG", "MOBP"}
    assert list(space.term(row).terms) == [row]
    known = match_genes(["HMGCR"], organism="human")
    answer = space.genes(np.array([GENES.index("HMGCR")]), known)
    assert nearest(space, answer, 2) == {"HMGCR", "SQLE"}
    np.testing.assert_allclose(answer.vector, unit(space.vectors[GENES.index("HMGCR")]), rtol=1e-6)


def test_a_gene_set_is_the_mean_of_its_directions(space):
    places = np.array([0, 1, 3])
    answer = space.genes(places, match_genes([GENES[place] for place in places], organism="human"))
    wanted = unit(np.mean([unit(space.vectors[place]) for place in places], axis=0))
    np.testing.assert_allclose(answer.vector, wanted)


def test_genes_that_the_data_lack_have_a_vector_of_the_package(space):
    known = match_genes(["MOG"], organism="human")
    np.testing.assert_allclose(space.genes(np.array([-1]), known).vector, unit(builtin_vectors(known)[0]), rtol=1e-6)
    with pytest.raises(ValueError, match="none of these genes has a vector: MOG"):
        own(space).genes(np.array([-1]), known)


def test_a_text_that_no_word_is_known_of(space):
    with pytest.raises(ValueError, match=r"no word of 'zxcvb' is in the vocabulary.*semtx\[offline\]"):
        space.text("zxcvb")


def test_own_vectors_are_read_through_the_members_of_terms(space):
    assert nearest(own(space), own(space).text("myelin sheath")) <= {"MBP", "PLP1", "MAG", "MOBP"}
    with pytest.raises(ValueError, match="no gene with a vector in the data"):
        own(space).term(load_vocabulary("human").find("keratinization"))


def test_an_encoder_joins_in(space):
    asked = []

    def encode(text):
        asked.append(text)
        return 3 * space.vectors[GENES.index("CLDN5")]

    answer = own(space, encode=encode).text("zxcvb")
    assert asked == ["zxcvb"]
    np.testing.assert_allclose(answer.vector, unit(space.vectors[GENES.index("CLDN5")]), rtol=1e-6)
    joined = own(space, encode=encode).text("myelin sheath")
    assert nearest(space, joined, 4) == {"CLDN5", *list(nearest(space, joined, 4) - {"CLDN5"})}


def test_texts_are_scaled_as_gene_vectors_were(space):
    generator = np.random.default_rng(0)
    mean, deviation, vector = generator.normal(size=384), generator.uniform(1, 2, 384), generator.normal(size=384)
    found = own(space, encode=lambda _: vector, mean=mean, deviation=deviation).text("zxcvb")
    np.testing.assert_allclose(found.vector, unit((vector - mean) / deviation))


def test_a_text_that_no_term_is_near_to_is_told(space, caplog):
    far = QuerySpace(
        space.vectors, space.match, is_builtin=True, encode=lambda _: np.random.default_rng(0).normal(size=384)
    )
    far.text("white matter")
    assert "no term of the vocabulary is near to 'white matter'" in caplog.text
    near = QuerySpace(
        space.vectors,
        space.match,
        is_builtin=True,
        encode=lambda _: space.vocabulary.vectors[space.vocabulary.find("myelination")] * 5 + space.vocabulary.mean,
    )
    caplog.clear()
    near.text("myelination")
    assert not caplog.text


def test_relevance(space):
    answer = space.text("myelin sheath")
    usable = np.array([gene not in ("MAG", "no gene") for gene in GENES])
    found = relevance(space.vectors, answer, usable, 4)
    assert found[GENES.index("MAG")] == 0
    assert (found > 0).sum() <= 4
    cosine = space.vectors @ answer.vector
    np.testing.assert_allclose(found[found > 0], cosine[found > 0] ** 2, rtol=1e-5)
