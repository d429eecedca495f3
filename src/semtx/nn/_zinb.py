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
        target, log_mu, theta, pi_logits = (x.contiguous() for x in (target, log_mu, theta, pi_logits))
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

        # ... then the entries that are not zero put right, found in one dimension, where indexing is fast
        stored = (target.reshape(-1) >= 1e-8).nonzero().ravel()
        y, ratio, part, log_mean = (x.reshape(-1)[stored] for x in (target, log_ratio, share, u))
        genes = stored % target.shape[1] if theta.dim() == 1 else stored
        own_theta, logits = theta.reshape(-1)[genes], pi_logits.reshape(-1)[genes]
        as_zero = softplus(-logits) - softplus(inflated.reshape(-1)[stored])
        log_rising, slope, log_factorial = _rising(y, own_theta)
        log_nb = log_rising - log_factorial - (own_theta + y) * ratio + y * log_mean
        value = value + (softplus(logits) - log_nb - as_zero).sum()
        odds = (own_theta + y) * part
        d_log_mu.view(-1)[stored] = odds - y
        d_theta.view(-1)[stored] = ratio - slope + (y - odds) / own_theta
        d_pi.view(-1)[stored] = torch.sigmoid(logits)
        ctx.save_for_backward(d_log_mu, _reduced(d_theta, theta), _reduced(d_pi, pi_logits))
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        d_log_mu, d_theta, d_pi = ctx.saved_tensors
        return None, gradient * d_log_mu, gradient * d_theta, gradient * d_pi


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


def _sum_to(values: Tensor, target: Tensor) -> Tensor:
    """Weigh a value for each gene by the number of observations it stands for."""
    return values * target.shape[0] if values.dim() == 1 else values


def _reduced(gradient: Tensor, values: Tensor) -> Tensor:
    return gradient.sum(dim=0) if values.dim() == 1 else gradient
