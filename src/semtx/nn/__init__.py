"""Torch modules and losses: pure functions of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semtx._lazy import attach

if TYPE_CHECKING:
    from semtx.nn._assignment_divergence import assignment_divergence
    from semtx.nn._attach_fsm import AttachedFSM, AttachingFSM, attach_fsm
    from semtx.nn._correlation_reduction import correlation_reduction
    from semtx.nn._cut_graph import CutGraph
    from semtx.nn._fsm import FSM
    from semtx.nn._fusions import Addition, Concatenation, CrossAttention
    from semtx.nn._graph_cut import graph_cut
    from semtx.nn._graph_encoder import GraphEncoder
    from semtx.nn._info_nce import info_nce
    from semtx.nn._match_centers import match_centers
    from semtx.nn._optimal_transport_target import optimal_transport_target
    from semtx.nn._residual_perceptron import ResidualPerceptron
    from semtx.nn._scllm_dsc_network import ScLLMDSCNetwork, ScLLMDSCViews
    from semtx.nn._semst_network import SemSTInputs, SemSTNetwork
    from semtx.nn._spatial_regularization import spatial_regularization
    from semtx.nn._student_t import student_t
    from semtx.nn._variance_hinge import variance_hinge
    from semtx.nn._zinb import zinb_nll
    from semtx.nn._zinb_decoder import ZINBDecoder

__all__ = [
    "FSM",
    "Addition",
    "AttachedFSM",
    "AttachingFSM",
    "Concatenation",
    "CrossAttention",
    "CutGraph",
    "GraphEncoder",
    "ResidualPerceptron",
    "ScLLMDSCNetwork",
    "ScLLMDSCViews",
    "SemSTInputs",
    "SemSTNetwork",
    "ZINBDecoder",
    "assignment_divergence",
    "attach_fsm",
    "correlation_reduction",
    "graph_cut",
    "info_nce",
    "match_centers",
    "optimal_transport_target",
    "spatial_regularization",
    "student_t",
    "variance_hinge",
    "zinb_nll",
]

__getattr__, __dir__ = attach(
    __name__,
    __all__,
    Addition="_fusions",
    AttachedFSM="_attach_fsm",
    AttachingFSM="_attach_fsm",
    Concatenation="_fusions",
    CrossAttention="_fusions",
    CutGraph="_cut_graph",
    FSM="_fsm",
    GraphEncoder="_graph_encoder",
    ResidualPerceptron="_residual_perceptron",
    ScLLMDSCNetwork="_scllm_dsc_network",
    ScLLMDSCViews="_scllm_dsc_network",
    SemSTInputs="_semst_network",
    SemSTNetwork="_semst_network",
    ZINBDecoder="_zinb_decoder",
    zinb_nll="_zinb",
)
