"""The prompt around a cell's gene list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYSTEM = (
    "You are an expert in bioinformatics and tissue biology. You are given the genes that a cell expresses most. "
    "Represent the biological state of that cell, with attention to the functions that tell which spatial domain of the "
    "tissue it belongs to."
)
_USER = "The most highly expressed genes of the cell are: {genes}."


@dataclass(frozen=True)
class Prompt:
    """What a language model reads around a list of genes.

    Attributes
    ----------
    user
        The message, with ``{genes}`` where the list goes, and ``{context}`` where the context goes, if anywhere.
    system
        Role and task; empty for none.
    chatml
        Write both as ChatML messages and open a reply, the form that Qwen's chat models were trained on. Off, the text
        is the two messages and nothing else.
    separator
        Between two genes.

    Examples
    --------
    >>> from semtx.semantics import Prompt
    >>> Prompt(user="Genes: {genes}.", system="", chatml=False).render(["MBP", "PLP1"])
    'Genes: MBP, PLP1.'
    """

    user: str = _USER
    system: str = _SYSTEM
    chatml: bool = True
    separator: str = ", "

    def __post_init__(self) -> None:
        if self.user.count("{genes}") != 1:
            msg = f"a prompt needs {{genes}} once, where the list of genes goes; got {self.user!r}"
            raise ValueError(msg)

    def around(self, context: str = "") -> tuple[str, str]:
        """Return the text before and after the gene list.

        Parameters
        ----------
        context
            Tissue, species or condition, in words; it follows the system message.
        """
        system = " ".join(part for part in (self.system, context) if part)
        if self.chatml:
            head = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
            text = f"{head}<|im_start|>user\n{self.user}<|im_end|>\n<|im_start|>assistant\n"
        else:
            text = f"{system}\n{self.user}" if system else self.user
        before, _, after = text.partition("{genes}")
        return before, after

    def genes(self, genes: Sequence[str]) -> str:
        """Write the gene list."""
        return self.separator.join(genes)

    def render(self, genes: Sequence[str], context: str = "") -> str:
        """Write the whole prompt."""
        before, after = self.around(context)
        return f"{before}{self.genes(genes)}{after}"
