from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import softplus

from semtx.nn._sparse import stored_entries

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
    return _ZINB.apply(target, torch.log(mu), theta, pi_logits)  # type: ignore[no-untyped-call]


class _ZINB(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, target: Tensor, log_mu: Tensor, theta: Tensor, pi_logits: Tensor) -> Tensor:
        value, *gradients = zinb_with_gradients(*stored_entries(target), log_mu, theta, pi_logits)
        ctx.save_for_backward(*gradients)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        d_log_mu, d_theta, d_pi = ctx.saved_tensors
        return None, gradient * d_log_mu, gradient * d_theta, gradient * d_pi


def zinb_with_gradients(
    stored: Tensor, y: Tensor, log_mu: Tensor, theta: Tensor, pi_logits: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute :func:`zinb_nll` and its gradients in log_mu, theta and pi_logits, of a target as :func:`stored_entries` tells."""
    log_mu, theta, pi_logits = (x.contiguous() for x in (log_mu, theta, pi_logits))
    # u = log(mu / theta), so that log(theta + mu) - log(theta) = softplus(u), and log NB(0) = -theta softplus(u)
    u = log_mu - torch.log(theta)
    log_ratio = softplus(u)
    inflated = (theta * log_ratio).add_(pi_logits).neg_()
    genes = stored % log_mu.shape[1] if theta.dim() == 1 else stored
    log_mean, ratio, stored_inflated = (x.view(-1)[stored] for x in (u, log_ratio, inflated))
    own_theta, logits = theta.view(-1)[genes], pi_logits.view(-1)[genes]

    # every entry as if it were zero: -log(pi + (1 - pi) NB(0)); memory is used again, since fresh one costs more than sums
    negated = -pi_logits
    n_each = log_mu.numel() // pi_logits.numel()
    value = n_each * softplus(negated).sum() - softplus(inflated).sum()
    share, weight = u.sigmoid_(), inflated.sigmoid_()
    d_log_mu = (weight * theta).mul_(share)
    d_theta = log_ratio.sub_(share).mul_(weight)
    d_pi = weight.sub_(negated.sigmoid_())

    # ... then the entries that are not zero put right, found in one dimension, where indexing is fast
    as_zero = softplus(-logits) - softplus(stored_inflated)
    log_rising, slope, log_factorial = _rising(y, own_theta)
    log_nb = log_rising - log_factorial - (own_theta + y) * ratio + y * log_mean
    value = value + (softplus(logits) - log_nb - as_zero).sum()
    odds = (own_theta + y) * torch.sigmoid(log_mean)
    d_log_mu.view(-1)[stored] = odds - y
    d_theta.view(-1)[stored] = ratio - slope + (y - odds) / own_theta
    d_pi.view(-1)[stored] = torch.sigmoid(logits)
    if theta.dim() == 1:
        return value, d_log_mu, d_theta.sum(dim=0), d_pi.sum(dim=0)
    return value, d_log_mu, d_theta, d_pi


def _rising(y: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log(Gamma(y + theta) / Gamma(theta)), its slope in theta, and log(y!)."""
    # most counts are 1, and there it is log(theta)
    log_rising, slope, log_factorial = torch.log(theta), theta.reciprocal(), torch.zeros_like(y)
    more = (y != 1).nonzero().ravel()
    y, theta = y[more], theta[more]
    log_rising[more] = torch.lgamma(y + theta) - torch.lgamma(theta)
    slope[more] = torch.digamma(y + theta) - torch.digamma(theta)
    log_factorial[more] = torch.lgamma(y + 1)
    return log_rising, slope, log_factorial
