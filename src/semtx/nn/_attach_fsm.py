"""``nn.attach_fsm``: semantic modulation inside a model that exists already."""

from __future__ import annotations

from functools import wraps
from inspect import unwrap
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import torch
from torch import nn

from semtx._logging import logger
from semtx._values import check_choice, listed, to_numbers
from semtx.nn._attachment import Attachment
from semtx.nn._fusions import FUSIONS, make_fusion

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from numpy.typing import NDArray
    from torch import Tensor

    Rows = Callable[..., Tensor | NDArray]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class AttachedFSM:
    """A fusion inside a host, as :func:`semtx.nn.attach_fsm` returns it; as a context manager it detaches at the end.

    Attributes
    ----------
    host
        The module it is in.
    fsm
        The trainable module: :class:`semtx.nn.FSM`, or another fusion.
    semantics
        Semantic vectors, shape (n, d), on the host's device.
    attached
        Whether it still acts.
    n_passes
        How often it has modulated: 0 after training says that the host never calls that submodule.
    """

    def __init__(self, host: nn.Module, holder: nn.Module, name: str, attachment: Attachment, handles: list) -> None:
        self.host = host
        self._holder, self._name, self._attachment, self._handles = holder, name, attachment, handles

    @property
    def fsm(self) -> nn.Module:
        return self._attachment.fsm

    @property
    def semantics(self) -> Tensor:
        return self._attachment.semantics

    @property
    def attached(self) -> bool:
        return bool(self._handles)

    @property
    def n_passes(self) -> int:
        return self._attachment.n_passes

    def rows(self, index: Tensor | NDArray | None) -> SelectedRows:
        """Say which rows of the semantics the next mini-batches hold.

        Parameters
        ----------
        index
            Row of each observation of the batch, whole numbers or a boolean mask; ``None`` for all rows in order.

        Returns
        -------
        A context manager: at its end the rows are those of before. Without ``with`` they stay until the next call.
        """
        before = self._attachment.index
        self._attachment.select(index)
        return SelectedRows(self._attachment, before)

    def detach(self) -> None:
        """Take the fusion out: the host's hooks, children and ``state_dict`` are those of before. Twice is no error."""
        if not self._handles:
            return
        if not self._attachment.n_passes:
            logger.warning(
                "FSM at %r has never been reached: %s may not call that submodule, but use its weights",
                self._attachment.at,
                type(self.host).__name__,
            )
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._holder._modules.pop(self._name, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()


class SelectedRows:
    """What :meth:`AttachedFSM.rows` returns; it may be entered again."""

    def __init__(self, attachment: Attachment, before: Tensor | None) -> None:
        self._attachment, self._before, self._selected = attachment, before, attachment.index

    def __enter__(self) -> None:
        if self._attachment.index is not self._selected:
            self._before, self._attachment.index = self._attachment.index, self._selected

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._attachment.index = self._before


class AttachingFSM:
    """Attaches to each instance of a class that is made inside a ``with`` block; see :func:`semtx.nn.attach_fsm`.

    Attributes
    ----------
    attached
        One :class:`AttachedFSM` for each instance, in the order they were made.
    """

    _busy = False  # of all blocks: what a fusion itself is made of may be of the class

    def __init__(self, host: type[nn.Module], attach: Callable[[nn.Module], AttachedFSM]) -> None:
        self._host, self._attach = host, attach
        self.attached: list[AttachedFSM] = []
        self._entered = False

    def detach(self) -> None:
        """Detach from all of them."""
        for attached in self.attached:
            attached.detach()

    def __enter__(self) -> Self:
        if self._entered:
            msg = f"the block that attaches to {self._host.__name__} is entered already; call attach_fsm again for another"
            raise RuntimeError(msg)
        self._entered = True
        made = self._host.__init__
        self._own = vars(self._host).get("__init__")

        @wraps(made)
        def attaching(instance: nn.Module, *args: Any, **kwargs: Any) -> None:
            made(instance, *args, **kwargs)
            # a subclass with an __init__ of its own is not complete here; other blocks may have wrapped the same one
            if unwrap(type(instance).__init__) is unwrap(made) and not AttachingFSM._busy:
                AttachingFSM._busy = True
                try:
                    self.attached.append(self._attach(instance))
                finally:
                    AttachingFSM._busy = False

        self._host.__init__ = attaching  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        if self._own is None:
            del self._host.__init__
        else:
            self._host.__init__ = self._own  # type: ignore[method-assign]
        if kind is None and not self.attached:
            logger.warning(
                "no %s was made in the block, so nothing was attached (subclasses with an __init__ of their own do not count)",
                self._host.__name__,
            )


@overload
def attach_fsm(host: nn.Module, at: str, semantics: Tensor | NDArray, **options: Any) -> AttachedFSM: ...
@overload
def attach_fsm(host: type[nn.Module], at: str, semantics: Tensor | NDArray, **options: Any) -> AttachingFSM: ...
def attach_fsm(
    host: nn.Module | type[nn.Module],
    at: str,
    semantics: Tensor | NDArray,
    *,
    output: int | str | None = None,
    rows: Rows | None = None,
    latent_dim: int | None = None,
    fusion: Literal["fsm", "concatenate", "add", "cross_attention"] = "fsm",
    name: str = "fsm",
    **options: Any,
) -> AttachedFSM | AttachingFSM:
    r"""Let semantics modulate the output of a submodule of any torch model, which trains on as it always did.

    FSM becomes a child of the host, so that an optimiser made afterwards from ``host.parameters()`` trains it with the
    host's own loss; a forward hook passes the submodule's output through it. It starts as the exact identity and draws no
    random number from the host's stream: until the first step the host computes what it computed before. (For an
    optimiser that exists already: ``optimizer.add_param_group({"params": attached.fsm.parameters()})``.)

    Parameters
    ----------
    host
        A model; or a class of models, for code that builds its network inside a function: used in a ``with`` statement,
        FSM is attached to each instance that is made inside the block (of a subclass too, unless it has an ``__init__`` of
        its own), and stays attached after it.
    at
        Path of the submodule that gives the latent representation, as in ``host.named_modules()``, such as
        ``"encoder.mean"``; ``""`` is the host itself.
    semantics
        Semantic vectors, shape (n, d), such as ``adata.obsm["X_semantics"]``; one row for each observation, in the order
        in which the host sees them, or see ``rows``: a pass with as many rows is taken for all of them in order. Where the
        output has more than two axes, observations are the last but one. They move with the host between devices and are
        not in its ``state_dict``.
    output
        Which part of the submodule's output to modulate, where that is a tuple, list or dictionary: index or key.
    rows
        For hosts that train on mini-batches in a loop of their own: called with the arguments of each forward pass of the
        host, returns the rows in it, such as ``lambda batch: batch["index"]`` (a named function, where the host is to be
        pickled). In a loop of your own use
        :meth:`AttachedFSM.rows` instead.
    latent_dim
        Width of that output; ``None`` reads it from the submodule (``out_features``, ``out_channels``).
    fusion
        ``"fsm"``; or for comparison ``"concatenate"``, ``"add"`` or ``"cross_attention"``, see
        :class:`semtx.nn.Concatenation`, :class:`semtx.nn.Addition` and :class:`semtx.nn.CrossAttention`. All keep the
        width.
    name
        Name of the child.
    options
        Of the fusion, such as ``hidden_dims`` and ``max_scale`` of :class:`semtx.nn.FSM`.

    Returns
    -------
    :class:`semtx.nn.AttachedFSM`, whose :meth:`~semtx.nn.AttachedFSM.detach` restores the host exactly; for a class
    :class:`semtx.nn.AttachingFSM`, to enter.

    Raises
    ------
    KeyError
        There is no submodule ``at``.
    TypeError
        ``host`` is no torch module, or the submodule gives several outputs and ``output`` names none of them.
    ValueError
        Semantics are not finite or not a matrix; the width is unknown or differs; ``name`` is taken; or, in a forward
        pass, the batch has another number of rows than the semantics and nobody said which.

    References
    ----------
    Semantic modulation of other methods in the supplement of SemST :cite:p:`Long2026`, which released no code for it.

    Examples
    --------
    A host, its optimiser and one step of training on a mini-batch:

    >>> import torch
    >>> import semtx as st
    >>> host = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Linear(3, 6))
    >>> x, semantics = torch.randn(10, 6), torch.randn(10, 8)
    >>> before = host(x)
    >>> attached = st.nn.attach_fsm(host, at="0", semantics=semantics)
    >>> torch.equal(host(x), before)
    True
    >>> optimizer = torch.optim.Adam(host.parameters())
    >>> batch = torch.tensor([7, 2, 5])
    >>> with attached.rows(batch):
    ...     torch.nn.functional.mse_loss(host(x[batch]), x[batch]).backward()
    >>> optimizer.step()
    >>> bool(attached.fsm.coefficients(semantics)[0].any())
    True
    >>> attached.detach()

    A host that is built inside a function:

    >>> def train():
    ...     return torch.nn.Linear(6, 3)(x)
    >>> with st.nn.attach_fsm(torch.nn.Linear, at="", semantics=semantics) as attaching:
    ...     z = train()
    >>> len(attaching.attached)
    1
    """
    check_choice("fusion", fusion, list(FUSIONS))
    vectors = _matrix(semantics)

    def attach(host: nn.Module) -> AttachedFSM:
        return _attach(host, at, vectors, output, rows, latent_dim, fusion, name, options)

    if isinstance(host, type) and issubclass(host, nn.Module):
        return AttachingFSM(host, attach)
    if not isinstance(host, nn.Module):
        msg = f"host must be a torch.nn.Module or a class of them, got {type(host).__name__}"
        raise TypeError(msg)
    return attach(host)


def _attach(
    host: nn.Module,
    at: str,
    semantics: Tensor,
    output: int | str | None,
    rows: Rows | None,
    latent_dim: int | None,
    fusion: str,
    name: str,
    options: dict[str, Any],
) -> AttachedFSM:
    submodule = _submodule(host, at)
    holder = _holder(host, submodule)
    if hasattr(holder, name):
        msg = f"{type(holder).__name__} has {name!r} already; detach what is there, or give another name="
        raise ValueError(msg)
    width = _width(submodule, at) if latent_dim is None else latent_dim
    like = next((p for module in (submodule, host) for p in module.parameters() if p.is_floating_point()), None)
    # a stream of its own: the host's weights, dropout and batches to come stay what they would have been
    with torch.random.fork_rng(devices=[]):
        made = make_fusion(fusion, width, semantics.shape[1], **options)
    attachment = Attachment(made, semantics, at=at, latent_dim=width, output=output, rows=rows)
    if like is not None:
        attachment.to(device=like.device, dtype=like.dtype)
    attachment.train(host.training)
    holder.add_module(name, attachment)
    # methods, which go with a deep copy of the host, and not closures, which would act on this one
    handles: list[Any] = [submodule.register_forward_hook(attachment.modulate)]
    if rows is not None:
        handles.append(host.register_forward_pre_hook(attachment.select_from, with_kwargs=True))
        handles.append(host.register_forward_hook(attachment.unselect, always_call=True))
    return AttachedFSM(host, holder, name, attachment, handles)


def _matrix(semantics: Tensor | NDArray) -> Tensor:
    if isinstance(semantics, torch.Tensor):
        given = semantics.detach()
    else:
        try:
            # a copy, as torch takes no arrays that run backwards
            given = torch.from_numpy(np.array(to_numbers(semantics)))
        except (TypeError, ValueError):
            msg = f"semantics must be a matrix of numbers, such as adata.obsm['X_semantics'], got {type(semantics).__name__}"
            raise TypeError(msg) from None
    # a copy: the user's array may change
    vectors = given.to(torch.get_default_dtype(), copy=True)
    if vectors.ndim != 2 or 0 in vectors.shape:
        msg = f"semantics must have shape (n, d), such as adata.obsm['X_semantics'], got {tuple(vectors.shape)}"
        raise ValueError(msg)
    broken = int((~vectors.isfinite().all(dim=1)).sum())
    if broken:
        msg = f"semantics must be finite; {broken} rows have NaN or infinite values"
        raise ValueError(msg)
    return vectors


def _submodule(host: nn.Module, at: str) -> nn.Module:
    modules = dict(host.named_modules())
    if at not in modules:
        paths = sorted((path for path in modules if path), key=lambda path: path.count("."))
        msg = (
            f"at={at!r} is no submodule of {type(host).__name__}, which has {listed(paths, 20)}; '' is the host itself"
        )
        raise KeyError(msg)
    return modules[at]


def _holder(host: nn.Module, submodule: nn.Module) -> nn.Module:
    """Return the module that FSM becomes a child of: the host, unless it is a container, which would call its children."""
    candidates = (host, *submodule.modules(), *host.modules())
    return next((module for module in candidates if not isinstance(module, _CONTAINERS)), host)


def _width(submodule: nn.Module, at: str) -> int:
    told: list[int] = []
    # in a sequence the last part that tells; others, such as activations, keep the width
    for part in submodule.modules() if isinstance(submodule, nn.Sequential) else (submodule,):
        widths = (getattr(part, attribute, None) for attribute in ("out_features", "out_channels", "num_features"))
        told += [width for width in widths if isinstance(width, int)][:1]
    if not told:
        msg = f"at={at!r}, a {type(submodule).__name__}, does not tell the width of its output; give latent_dim="
        raise ValueError(msg)
    return told[-1]
