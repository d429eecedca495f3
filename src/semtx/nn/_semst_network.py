from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import nn

from semtx.nn._fsm import FSM
from semtx.nn._graph_encoder import GraphEncoder
from semtx.nn._zinb_decoder import ZINBDecoder

if TYPE_CHECKING:
    from torch import Tensor


class SemSTInputs(NamedTuple):
    """What the network reads.

    Attributes
    ----------
    x
        Expression, dense or sparse CSR, or features propagated over the spatial graph, shape (n, n_inputs).
    semantics
        Shape (n, semantic_dim), or ``None`` to leave semantics out.
    spatial_graph, feature_graph
        Normalised sparse CSR graphs of the two convolutions; ``None`` where ``x`` is propagated already. For a batch each
        is a pair, as in :class:`GraphEncoder`, and ``semantics`` has the rows of the batch.
    feature_x
        Expression that the convolution on the feature graph reads, where it is not ``x``.
    """

    x: Tensor
    semantics: Tensor | None = None
    spatial_graph: Tensor | tuple[Tensor, Tensor] | None = None
    feature_graph: Tensor | tuple[Tensor, Tensor] | None = None
    feature_x: Tensor | None = None

    def to(self, device: torch.device) -> SemSTInputs:
        """Return the same on another device."""

        def moved(part: Any) -> Any:
            if isinstance(part, tuple):
                return tuple(each.to(device) for each in part)
            return part if part is None else part.to(device)

        return SemSTInputs(*(moved(part) for part in self))


class SemSTOutputs(NamedTuple):
    """The embedding and the views it was fused from, each of shape (n, latent_dim)."""

    z: Tensor
    spatial: Tensor
    feature: Tensor | None


class SemSTNetwork(nn.Module):
    r"""Network of SemST: two graph views, semantic modulation, fusion and a ZINB decoder.

    .. math:: z_i = W \left[ (1 + \alpha_i) \odot [h^{spa}_i | h^{fea}_i] + \beta_i \right]

    Parameters
    ----------
    n_inputs
        Width of the input of each view: the number of genes, or of propagated features.
    n_genes
        Genes that the decoder reconstructs.
    semantic_dim
        Width of the semantic vectors; 0 leaves modulation out.
    hidden_dim, latent_dim
        Widths of the hidden layer and of each view's and the fused embedding.
    encoder
        ``"convolution"``: a two-layer graph convolution for each of the two views; ``"propagated"``: the spatial view
        alone, a linear map of features that were propagated over the spatial graph beforehand.
    semantic_head
        ``"stacked"``: the authors' two stacked networks; ``"mlp"``: the paper's one network; ``"linear"``: one linear
        map that starts at zero, so that modulation starts as the identity.
    modulation_dim
        Hidden width of the modulation network of ``"stacked"``.
    fusion
        How two views become one: ``"mlp"`` as in the code, ``"linear"`` as in the paper. A single view needs none.
    decoder_hidden_dim, dispersion
        As in :class:`ZINBDecoder`.

    References
    ----------
    SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> network = st.nn.SemSTNetwork(n_inputs=6, n_genes=6, semantic_dim=8, hidden_dim=5, latent_dim=3)
    >>> graph = torch.eye(4).to_sparse_csr()
    >>> x = torch.rand(4, 6)
    >>> network((x, torch.randn(4, 8), graph, graph)).z.shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        *,
        n_inputs: int,
        n_genes: int,
        semantic_dim: int,
        hidden_dim: int,
        latent_dim: int,
        encoder: Literal["convolution", "propagated"] = "convolution",
        semantic_head: Literal["stacked", "mlp", "linear"] = "stacked",
        modulation_dim: int = 64,
        fusion: Literal["mlp", "linear"] = "mlp",
        decoder_hidden_dim: int | None = None,
        dispersion: Literal["gene-cell", "gene"] = "gene-cell",
    ) -> None:
        super().__init__()
        self.feature_encoder: GraphEncoder | None = None
        self.fusion: nn.Module = nn.Identity()
        joined_dim = latent_dim
        if encoder == "convolution":
            self.spatial_encoder: nn.Module = GraphEncoder(n_inputs, hidden_dim, latent_dim)
            self.feature_encoder = GraphEncoder(n_inputs, hidden_dim, latent_dim)
            self.fusion = _fusion(fusion, latent_dim, hidden_dim)
            joined_dim = 2 * latent_dim
        else:
            self.spatial_encoder = nn.Linear(n_inputs, latent_dim)
        self.semantic_head: nn.Module = nn.Identity()
        self.fsm: FSM | None = None
        if semantic_dim:
            self.semantic_head, self.fsm = _semantics(
                semantic_head, semantic_dim, latent_dim, joined_dim, modulation_dim
            )
        self.decoder = ZINBDecoder(latent_dim, n_genes, hidden_dim=decoder_hidden_dim, dispersion=dispersion)

    def forward(self, inputs: SemSTInputs) -> SemSTOutputs:
        """Encode; decode with ``network.decoder(outputs.z)``."""
        x, semantics, spatial_graph, feature_graph, feature_x = SemSTInputs(*inputs)
        feature = None
        if self.feature_encoder is None:
            joined = spatial = self.spatial_encoder(x)
        else:
            spatial = self.spatial_encoder(x, spatial_graph)
            feature = self.feature_encoder(x if feature_x is None else feature_x, feature_graph)
            joined = torch.cat([spatial, feature], dim=1)
        if self.fsm is not None:
            joined = self.fsm(joined, self.semantic_head(semantics))
        return SemSTOutputs(self.fusion(joined), spatial, feature)


def _semantics(
    kind: str, semantic_dim: int, latent_dim: int, joined_dim: int, modulation_dim: int
) -> tuple[nn.Module, FSM]:
    if kind == "stacked":
        middle = max(semantic_dim // 2, 1)
        head = nn.Sequential(nn.Linear(semantic_dim, middle), nn.ReLU(), nn.Linear(middle, latent_dim))
        return head, FSM(joined_dim, latent_dim, hidden_dims=(modulation_dim,), zero_init=False)
    if kind == "mlp":
        return nn.Identity(), FSM(joined_dim, semantic_dim, hidden_dims=(max(semantic_dim // 2, 1),), zero_init=False)
    return nn.Identity(), FSM(joined_dim, semantic_dim)


def _fusion(kind: str, latent_dim: int, hidden_dim: int) -> nn.Module:
    if kind == "linear":
        return nn.Linear(2 * latent_dim, latent_dim, bias=False)
    return nn.Sequential(nn.Linear(2 * latent_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, latent_dim))
