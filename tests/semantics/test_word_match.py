from __future__ import annotations

import pytest

from semtx.semantics import load_vocabulary
from semtx.semantics._word_match import word_similarity, words_of


def best(text, organism="human"):
    found, unknown = word_similarity(text, organism)
    return [load_vocabulary(organism).terms["name"][row] for row in found.argmax(axis=1)], unknown


def test_a_name_finds_itself():
    found, unknown = word_similarity("myelin sheath", "human")
    row = load_vocabulary("human").find("myelin sheath")
    assert found.shape == (1, len(load_vocabulary("human").terms))
    assert found.argmax() == row
    assert found.max() == pytest.approx(1)
    assert not unknown


@pytest.mark.parametrize(
    ("text", "part"), [("neurons", "neuron"), ("oligodendrocytes", "oligodendrocyte"), ("B cell activation", "B cell")]
)
def test_inflections(text, part):
    (name,), unknown = best(text)
    assert part in name
    assert not unknown


def test_parts_are_compared_one_by_one():
    names, _ = best("glycolytic process, myelin sheath and axonogenesis")
    assert len(names) == 3
    assert names[1] == "myelin sheath"


def test_words_that_are_in_no_term():
    found, unknown = word_similarity("qwertyish zxcvb", "human")
    assert not len(found)
    assert unknown == ["qwertyish", "zxcvb"]
    _, unknown = word_similarity("myelin zxcvb", "human")
    assert unknown == ["zxcvb"]


def test_words():
    assert words_of("The neurons of a cell, NEURON, glia-axon") == ["neuron", "glia-axon"]
    assert words_of("cells") == ["cell"], "where there is nothing else"
    assert words_of("process class synapses axons") == ["process", "class", "synapse", "axon"]


def test_mouse_has_the_same_terms():
    assert best("myelin sheath", "mouse") == best("myelin sheath")
