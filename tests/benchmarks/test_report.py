from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from benchmarks.report import kinds, main, mean_rank, table
from benchmarks.stability import stability

RUNS = pd.DataFrame(
    {
        "data": ["x", "x", "x", "y", "y"],
        "method": ["a", "a", "b", "a", "b"],
        "seed": [0, 1, 0, 0, 0],
        "ARI": [0.2, 0.4, 0.5, 0.6, 0.1],
        "PAS": [0.1, 0.1, 0.2, 0.3, 0.1],
    }
)


def test_table_has_mean_and_number_of_seeds() -> None:
    row = table(RUNS, "ARI").set_index(["data", "method"]).loc[("x", "a")]
    assert np.isclose(row["mean"], 0.3)
    assert row["count"] == 2


def test_mean_rank_knows_which_way_is_better() -> None:
    only_x = RUNS[RUNS["data"] == "x"]
    assert mean_rank(only_x, "ARI").to_dict() == {"b": 1.0, "a": 2.0}
    assert mean_rank(only_x, "PAS").to_dict() == {"a": 1.0, "b": 2.0}
    assert mean_rank(RUNS, "ARI").to_dict() == {"a": 1.5, "b": 1.5}


def test_a_method_that_missed_a_data_set_has_no_rank() -> None:
    also = pd.DataFrame({"data": ["x"], "method": ["c"], "seed": [0], "ARI": [0.9]})
    assert mean_rank(pd.concat([RUNS, also]), "ARI").to_dict() == {"a": 1.5, "b": 1.5}


def test_sections_and_cells_are_told_apart() -> None:
    runs = RUNS.assign(CHAOS=[1.0, 1.0, 1.0, np.nan, np.nan])
    failed = pd.DataFrame({"data": ["x"], "method": ["c"], "seed": [0], "error": ["no"]})
    told = {kind: set(found["data"]) for kind, found in kinds(pd.concat([runs, failed])).items()}
    assert told == {"sections": {"x"}, "cells": {"y"}}


def test_report_writes_tables_and_plots_and_lists_failures(tmp_path, capsys) -> None:
    failed = pd.DataFrame({"data": ["x"], "method": ["c"], "seed": [0], "error": ["out of memory"]})
    pd.concat([RUNS.assign(CHAOS=1.0), failed]).to_csv(tmp_path / "runs.csv", index=False)
    main(tmp_path / "runs.csv", tmp_path / "out")
    assert (tmp_path / "out" / "ARI_sections.png").stat().st_size > 0
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert np.isclose(summary.query("measure == 'ARI' and data == 'x' and method == 'a'")["mean"], 0.3).all()
    assert "out of memory" in capsys.readouterr().out


def test_stability_is_the_agreement_of_seeds(tmp_path) -> None:
    np.save(tmp_path / "0.npy", [0, 0, 1, 1])
    assert stability(tmp_path, [0]) == {}
    np.save(tmp_path / "1.npy", [1, 1, 0, 0])
    np.save(tmp_path / "2.npy", [0, 1, 0, 1])
    assert stability(tmp_path, [0, 1]) == {0: 1.0, 1: 1.0}
    assert stability(tmp_path, [0, 1, 2])[0] == pytest.approx((1 - 0.5) / 2)
