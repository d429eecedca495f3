from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid, softplus

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON = 1e-10


def zinb_nll(target: Tensor, mu: Tensor, theta: Tensor, pi_logits: Tensor) -> Tensor:
    r"""Negative log-likelihood of the zero-inflated negative binomial distribution, entry by entry.

    With mean :math:`\mu`, inverse dispersion :math:`\theta` and zero inflation
    :math:`\pi = \sigma(\mathrm{logits})`:

    .. math::
        P(0) = \pi + (1 - \pi) \left(\frac{\theta}{\theta + \mu}\right)^\theta, \qquad
        P(y) = (1 - \pi) \, \mathrm{NB}(y; \mu, \theta) \text{ for } y > 0

    It is computed from the logits, so that nothing under- or overflows; a target that is not a whole number gives the
    same formula's value (then a loss, not a likelihood).

    Parameters
    ----------
    target
        Values, zero or above, any shape.
    mu, theta
        Positive; broadcast against ``target``.
    pi_logits
        Any real number; broadcast against ``target``.

    Returns
    -------
    Shape of ``target``.

    References
    ----------
    Equation 10 of SemST :cite:p:`Long2026`.

    Examples
    --------
    >>> import torch
    >>> import semtx as st
    >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
    >>> round(float(st.nn.zinb_nll(zero, one, one, torch.tensor(-30.0))), 4)  # NB(0; 1, 1) = 1/2
    0.6931
    """
    log_total = torch.log(theta + mu + _EPSILON)
    log_theta = torch.log(theta + _EPSILON)
    log_nb_zero = theta * (log_theta - log_total)
    # log(pi + (1 - pi) p0) = softplus(log p0 - logit) - softplus(-logit)
    zero = softplus(-pi_logits) - softplus(log_nb_zero - pi_logits)
    log_nb = (
        torch.lgamma(target + theta)
        - torch.lgamma(theta)
        - torch.lgamma(target + 1)
        + log_nb_zero
        + target * (torch.log(mu + _EPSILON) - log_total)
    )
    return torch.where(target < 1e-8, zero, -log_nb - logsigmoid(-pi_logits))
