"""Configurations of all models: every field is checked, and only what exists can be changed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

import semtx as st
from semtx.models._config import check_fields, updated

PRESETS = [*st.models.SEMST_PRESETS.values(), *st.models.SCLLM_DSC_PRESETS.values()]


@dataclass(frozen=True)
class Example:
    size: int = 3
    width: int | None = None
    rate: float = 0.5
    part: float = 0.5
    limit: float | None = None
    kind: Literal["one", "two"] = "one"
    flag: bool = False

    def __post_init__(self) -> None:
        check_fields(self, least_integers={"size": 1, "width": 2}, positive=("rate", "limit"), at_most_one=("part",))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be at least 1, got 0"),
        ({"size": None}, TypeError, "size must be a whole number, got None"),
        ({"size": 2.0}, TypeError, "size must be a whole number"),
        ({"size": True}, TypeError, "size must be a whole number"),
        ({"width": 1}, ValueError, "width must be at least 2"),
        ({"rate": 0}, ValueError, "rate must be finite, above 0"),
        ({"rate": None}, TypeError, "rate must be a number, got None"),
        ({"part": -0.1}, ValueError, "part must be finite, at least 0 and at most 1"),
        ({"part": 1.1}, ValueError, "part must be finite, at least 0 and at most 1"),
        ({"part": np.nan}, ValueError, "part must be finite"),
        ({"limit": 0.0}, ValueError, "limit must be finite, above 0"),
        ({"limit": np.inf}, ValueError, "limit must be finite"),
        ({"kind": "three"}, ValueError, "kind must be one of 'one', 'two', got 'three'"),
        ({"flag": 2}, ValueError, "flag must be one of True, False"),
    ],
)
def test_what_a_field_may_hold(change, error, message):
    with pytest.raises(error, match=message):
        Example(**change)


def test_what_is_allowed():
    for change in ({"width": None}, {"limit": None}, {"part": 0}, {"part": 1}, {"rate": 9}, {"size": np.int64(4)}):
        name, value = next(iter(change.items()))
        assert getattr(Example(**change), name) == value


def test_updated_leaves_out_none_refuses_the_unknown_and_checks():
    config = Example()
    assert updated(config, {"size": None}) == config
    assert updated(config, {"size": 7}).size == 7
    assert config.size == 3
    with pytest.raises(TypeError, match=r"Example has no 'sise'; it has 'size', 'width'"):
        updated(config, {"sise": 7})
    with pytest.raises(ValueError, match="size must be at least 1"):
        updated(config, {"size": 0})


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(st.models.ScLLMDSCConfig)])
@pytest.mark.parametrize("value", [-1, "other", np.nan, (1,)])
def test_every_setting_of_scllm_dsc_is_checked(name, value):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must be"):
        st.models.ScLLMDSCConfig(**{name: value})


@pytest.mark.parametrize("config", PRESETS)
def test_presets_are_frozen_and_survive_json(config):
    import json

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_epochs = 3
    assert type(config)(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize("name", ["n_top_genes", "n_semantic_components", "dof", "batch_size"])
def test_none_where_it_has_a_meaning(name):
    assert getattr(st.models.ScLLMDSCConfig(**{name: None}), name) is None


def test_presets_of_scllm_dsc():
    """What the three are by definition; their numbers are free to change."""
    presets = st.models.SCLLM_DSC_PRESETS
    assert list(presets) == ["default", "paper", "reference"]
    paper, reference = presets["paper"], presets["reference"]
    assert paper == st.models.ScLLMDSCConfig()
    # section 2.1: values in effect in the authors' code, and the paper's own where it states them
    assert (paper.temperature, paper.variance_weight, paper.omega) == (0.1, 1e-2, 0.5)
    assert (paper.alignment_weight, paper.cut_weight, paper.reconstruction_weight) == (0.3, 0.15, 0.3)
    assert (paper.clustering_weight, paper.orthogonality, paper.cut_balance) == (0.32, 0.32, 0.21)
    assert (paper.hidden_dim, paper.latent_dim, paper.projection_dim) == (256, 16, 128)
    assert (paper.expression, paper.cluster_on, paper.cluster_method) == ("given", "fused", "kmeans")
    assert (reference.encoder, reference.projection_dim, reference.cluster_on) == ("linear", 16, "structure")
    with pytest.raises(TypeError):
        presets["mine"] = paper
