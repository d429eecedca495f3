from __future__ import annotations

import pytest

from semtx.semantics import Prompt


def test_chatml_has_the_messages_in_order_and_opens_a_reply():
    text = Prompt(system="Be an expert.", user="Genes: {genes}.").render(["MBP", "PLP1"], context="Mouse brain.")
    assert text == (
        "<|im_start|>system\nBe an expert. Mouse brain.<|im_end|>\n"
        "<|im_start|>user\nGenes: MBP, PLP1.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_without_system_message():
    assert Prompt(system="", user="{genes}").render(["MBP"]).startswith("<|im_start|>user\nMBP<|im_end|>")
    assert Prompt(system="", user="{genes}", chatml=False, separator=" ").render(["MBP", "GFAP"]) == "MBP GFAP"


def test_plain_text_keeps_the_system_message():
    assert Prompt(system="Role.", user="Genes: {genes}", chatml=False).render(["MBP"]) == "Role.\nGenes: MBP"


def test_around_and_genes_make_the_whole():
    prompt = Prompt()
    before, after = prompt.around("Human cortex.")
    assert f"{before}{prompt.genes(['MBP', 'GFAP'])}{after}" == prompt.render(["MBP", "GFAP"], "Human cortex.")
    assert "Human cortex." in before
    assert "{" not in before + after


@pytest.mark.parametrize("user", ["no place", "{genes} twice {genes}"])
def test_the_list_needs_one_place(user):
    with pytest.raises(ValueError, match=r"needs \{genes\} once"):
        Prompt(user=user)
