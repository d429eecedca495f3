"""What ``nn.attach_fsm`` puts into a host: the fusion, the semantics, and the rows of the batch at hand."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Attachment(nn.Module):
    """Fusion and semantics as a child of the host, with the hooks as methods."""

    semantics: Tensor

    def __init__(
        self,
        fsm: nn.Module,
        semantics: Tensor,
        *,
        at: str,
        latent_dim: int,
        output: int | str | None,
        rows: Callable[..., Tensor | NDArray] | None,
    ) -> None:
        super().__init__()
        self.fsm = fsm
        self.register_buffer("semantics", semantics, persistent=False)
        self.index: Tensor | None = None
        self._before: Tensor | None = None
        self.n_passes = 0
        self.at, self._latent_dim, self._rows = at, latent_dim, rows
        self._output: Any = output

    def select(self, index: Tensor | NDArray | None) -> None:
        """Take these rows of the semantics from now on; ``None`` for all."""
        if index is None:
            self.index = None
            return
        # a copy, as torch takes no arrays that run backwards
        index = torch.as_tensor(index if isinstance(index, Tensor) else np.array(index)).flatten()
        n = len(self.semantics)
        if index.dtype == torch.bool:
            if len(index) != n:
                msg = f"rows as a mask must have one value for each of the {n} rows of the semantics, got {len(index)}"
                raise ValueError(msg)
            index = index.nonzero().flatten()
        # some loaders give row numbers as floats, and small integers are not read as rows by torch
        if not index.is_floating_point() or bool((index == index.round()).all()):
            index = index.long()
        if index.is_floating_point() or (len(index) and not 0 <= int(index.min()) <= int(index.max()) < n):
            msg = f"rows must be whole numbers from 0 to {n - 1}, the rows of the semantics"
            raise ValueError(msg)
        self.index = index

    def select_from(self, _host: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before the host's forward pass: ask which rows it is about."""
        if self._rows is not None:
            self._before = self.index
            self.select(self._rows(*args, **kwargs))

    def unselect(self, *_: Any) -> None:
        """After it: a pass that does not say its rows must not get those of the last one."""
        self.index = self._before

    def modulate(self, _submodule: nn.Module, _args: Any, output: Any) -> Any:
        """Modulate the output of the submodule, or the part of it that was asked for."""
        if isinstance(output, Tensor):
            if self._output is not None:
                msg = f"output={self._output!r} asks for a part of {self._where}, which is one tensor; leave it out"
                raise TypeError(msg)
            return self._modulated(output)
        changed = self._modulated(self._part(output))
        if isinstance(output, dict):
            # outputs of transformers are dictionaries that take numbers too
            key = self._output if self._output in output else list(output)[self._output]
            output = copy(output)
            output[key] = changed
            return output
        items = list(output)
        items[self._output] = changed
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)

    @property
    def _where(self) -> str:
        return f"the output of {self.at!r}" if self.at else "the output of the host"

    def _part(self, output: Any) -> Tensor:
        try:
            part = output[self._output]
        except (KeyError, IndexError, TypeError):
            part = None
        if not isinstance(output, (dict, tuple, list)) or not isinstance(part, Tensor):
            parts: dict[Any, Any] = dict(output) if isinstance(output, dict) else {}
            if isinstance(output, (tuple, list)):
                parts = dict(enumerate(output))
            kinds = ", ".join(f"{name!r}: {_kind(value)}" for name, value in parts.items()) or "no tensor in it"
            msg = f"{self._where} is a {type(output).__name__} ({kinds}); say which tensor to modulate with output="
            raise TypeError(msg)
        return part

    def _modulated(self, latent: Tensor) -> Tensor:
        semantics = self.semantics
        if self.index is not None:
            semantics = semantics[self.index.to(semantics.device)]
        where = f"at={self.at!r} gives"
        if latent.ndim < 2 or latent.shape[-1] != self._latent_dim:
            msg = f"{where} a tensor of shape {tuple(latent.shape)}, and latent_dim is {self._latent_dim}"
            raise ValueError(msg)
        if latent.shape[-2] != len(semantics):
            axis = "" if latent.ndim == 2 else f" (cells are the last axis but one of {tuple(latent.shape)})"
            told = "of all observations" if self.index is None else "of the rows that were given"
            msg = (
                f"{where} {latent.shape[-2]} rows{axis}, and the semantics {told} have {len(semantics)}; say which rows a "
                "mini-batch holds: with attached.rows(index): ..., or attach_fsm(..., rows=) for a loop of the host's own"
            )
            raise ValueError(msg)
        self.n_passes += 1
        return self.fsm(latent, semantics).to(latent.dtype)


def _kind(value: Any) -> str:
    return f"tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
