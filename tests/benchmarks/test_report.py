from __future__ import annotations

import numpy as np
import pandas as pd
from benchmarks.report import mean_rank, stability, table

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


def test_stability_is_the_agreement_of_seeds(tmp_path) -> None:
    folder = tmp_path / "x" / "a"
    folder.mkdir(parents=True)
    np.save(folder / "0.npy", [0, 0, 1, 1])
    np.save(folder / "1.npy", [1, 1, 0, 0])
    assert stability(tmp_path).to_dict("records") == [{"data": "x", "method": "a", "stability": 1.0, "seeds": 2}]
