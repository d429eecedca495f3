from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import softplus

if TYPE_CHECKING:
    from torch import Tensor


def zinb_nll(target: Tensor, mu: Tensor, theta: Tensor, pi_logits: Tensor) -> Tensor:
    r"""Negative log-likelihood of the zero-inflated negative binomial distribution, summed over all entries.

    With mean :math:`\mu`, inverse dispersion :math:`\theta` and zero inflation
    :math:`\pi = \sigma(\mathrm{logits})`:

    .. math::
        P(0) = \pi + (1 - \pi) \left(\frac{\theta}{\theta + \mu}\right)^\theta, \qquad
        P(y) = (1 - \pi) \, \mathrm{NB}(y; \mu, \theta) \text{ for } y > 0

    It is computed from logarithms, so that nothing under- or overflows; a target that is not a whole number gives the
    same formula's value (then a loss, not a likelihood). The gamma functions are evaluated where the target is not
    zero only, and the gradients are computed along with the value; it can be differentiated once.

    Parameters
    ----------
    target
        Values, zero or above, shape (n, n_genes).
    mu
        Positive, shape (n, n_genes).
    theta
        Positive, shape (n, n_genes), or (n_genes,) for one value for each gene.
    pi_logits
        Any real numbers, shape as ``theta``.

    Returns
    -------
    Scalar.

    References
    ----------
    Equation 10 of SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    >>> round(float(st.nn.zinb_nll(zero, one, one, torch.full((1, 1), -30.0))), 4)  # NB(0; 1, 1) = 1/2
    0.6931
    """
    return zinb_nll_of_log_mean(target, torch.log(mu), theta, pi_logits)


def zinb_nll_of_log_mean(target: Tensor, log_mu: Tensor, theta: Tensor, pi_logits: Tensor) -> Tensor:
    """Compute :func:`zinb_nll` from the logarithm of the mean, which decoders have at hand."""
    return _ZINB.apply(target, log_mu, theta, pi_logits)  # type: ignore[no-untyped-call]


class _ZINB(torch.autograd.Function):
    # Below, u = log(mu / theta), so that log(theta + mu) - log(theta) = softplus(u), and log NB(0) = -theta softplus(u).

    @staticmethod
    def forward(ctx: Any, target: Tensor, log_mu: Tensor, theta: Tensor, pi_logits: Tensor) -> Tensor:
        u = log_mu - torch.log(theta)
        log_ratio = softplus(u)
        share = torch.sigmoid(u)
        inflated = -theta * log_ratio - pi_logits
        # every entry as if it were zero: -log(pi + (1 - pi) NB(0))
        value = _sum_to(softplus(-pi_logits), target).sum() - softplus(inflated).sum()
        weight = torch.sigmoid(inflated)
        d_log_mu = weight * theta * share
        d_theta = weight * (log_ratio - share)
        d_pi = weight - torch.sigmoid(-pi_logits)

        # ... then the entries that are not zero put right
        rows, columns = torch.nonzero(target >= 1e-8, as_tuple=True)
        y, ratio, part = target[rows, columns], log_ratio[rows, columns], share[rows, columns]
        own_theta, logits = _entries(theta, rows, columns), _entries(pi_logits, rows, columns)
        as_zero = softplus(-logits) - softplus(inflated[rows, columns])
        log_nb = (
            torch.lgamma(y + own_theta)
            - torch.lgamma(own_theta)
            - torch.lgamma(y + 1)
            - (own_theta + y) * ratio
            + y * u[rows, columns]
        )
        value = value + (softplus(logits) - log_nb - as_zero).sum()
        d_log_mu[rows, columns] = (own_theta + y) * part - y
        d_theta[rows, columns] = (
            torch.digamma(own_theta) - torch.digamma(y + own_theta) + ratio - (own_theta + y) * part / own_theta
        ) + y / own_theta
        d_pi[rows, columns] = torch.sigmoid(logits)
        ctx.save_for_backward(d_log_mu, _reduced(d_theta, theta), _reduced(d_pi, pi_logits))
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        d_log_mu, d_theta, d_pi = ctx.saved_tensors
        return None, gradient * d_log_mu, gradient * d_theta, gradient * d_pi


def _entries(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return values[columns] if values.dim() == 1 else values[rows, columns]


def _sum_to(values: Tensor, target: Tensor) -> Tensor:
    """Weigh a value for each gene by the number of observations it stands for."""
    return values * target.shape[0] if values.dim() == 1 else values


def _reduced(gradient: Tensor, values: Tensor) -> Tensor:
    return gradient.sum(dim=0) if values.dim() == 1 else gradient
