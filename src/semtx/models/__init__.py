"""Model objects: arrays in, arrays out, with fit, embed, save and load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.models._scllm_dsc import ScLLMDSC
    from semtx.models._scllm_dsc_config import SCLLM_DSC_PRESETS, ScLLMDSCConfig
    from semtx.models._scllm_dsc_result import ScLLMDSCResult
    from semtx.models._semst import SemST
    from semtx.models._semst_config import SEMST_PRESETS, SemSTConfig

__all__ = [
    "SCLLM_DSC_PRESETS",
    "SEMST_PRESETS",
    "ScLLMDSC",
    "ScLLMDSCConfig",
    "ScLLMDSCResult",
    "SemST",
    "SemSTConfig",
]

__getattr__, __dir__ = attach(
    __name__,
    __all__,
    SCLLM_DSC_PRESETS="_scllm_dsc_config",
    ScLLMDSC="_scllm_dsc",
    ScLLMDSCConfig="_scllm_dsc_config",
    ScLLMDSCResult="_scllm_dsc_result",
    SEMST_PRESETS="_semst_config",
    SemST="_semst",
    SemSTConfig="_semst_config",
)
