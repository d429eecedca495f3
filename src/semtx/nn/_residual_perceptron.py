from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class ResidualPerceptron(nn.Module):
    r"""A linear map plus a perceptron with one hidden layer that starts at zero.

    .. math:: f(x) = W x + b + W_2 \, \mathrm{GELU}(\mathrm{LayerNorm}(W_1 x + b_1))

    The linear part can be started at a solution in closed form, such as principal components, which training then bends
    as far as the losses ask for.

    Parameters
    ----------
    in_features, hidden_features, out_features
        Widths.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> layer = st.nn.ResidualPerceptron(3, 8, 2)
    >>> x = torch.ones(1, 3)
    >>> torch.equal(layer(x), layer.linear(x))
    True
    """

    def __init__(self, in_features: int, hidden_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        last = nn.Linear(hidden_features, out_features, bias=False)
        nn.init.zeros_(last.weight)
        self.bend = nn.Sequential(
            nn.Linear(in_features, hidden_features), nn.LayerNorm(hidden_features), nn.GELU(), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return shape (n, out_features)."""
        return self.linear(x) + self.bend(x)
