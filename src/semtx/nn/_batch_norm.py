from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose moments can be those of a batch that several processes share.

    ``nn.SyncBatchNorm`` does that on GPUs only.

    Attributes
    ----------
    sum_over_processes
        Adds up a tensor, and its gradient, over the processes that share the batch; ``None`` where there is one.
    """

    sum_over_processes: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, shape (n, n_features)."""
        if not self.training or self.sum_over_processes is None:
            return super().forward(x)
        x = x.float()
        sums = self.sum_over_processes(torch.cat([x.new_tensor([len(x)]), x.sum(dim=0)]))
        n, mean = sums[0], sums[1:] / sums[0]
        centred = x - mean
        variance = self.sum_over_processes(centred.square().sum(dim=0)) / n
        self._move(mean.detach(), (variance * n / (n - 1)).detach())
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    def _move(self, mean: Tensor, variance: Tensor) -> None:
        rate = 0.1 if self.momentum is None else self.momentum
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, rate)
            self.running_var.lerp_(variance, rate)
