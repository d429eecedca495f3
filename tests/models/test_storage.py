from __future__ import annotations

import json

import numpy as np
import pytest

from semtx.models._storage import read_model, under, write_model

ARRAYS = {
    "a.x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.y": np.float64([0.1]),
    "b": np.zeros((0, 3), np.float32),
    "one number": np.array(3.0),
    "transposed": np.arange(6).reshape(2, 3).T,
    "chosen columns": np.arange(6.0).reshape(2, 3)[:, [2, 0]],
}


def test_round_trip(tmp_path):
    folder = tmp_path / "new" / "folder"
    write_model(folder, ARRAYS, {"model": "Toy", "number": 0.1, "names": ["a", "ü"], "nothing": None})
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors"]
    arrays, description = read_model(str(folder), "Toy")
    assert description == {"format": 1, "model": "Toy", "number": 0.1, "names": ["a", "ü"], "nothing": None}
    assert set(arrays) == set(ARRAYS)
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], value)
        assert (arrays[name].dtype, arrays[name].shape) == (value.dtype, value.shape)


def test_under():
    found = under(ARRAYS, "a.")
    assert list(found) == ["x", "y"]
    assert found["x"] is ARRAYS["a.x"]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model\.json in .*; give the folder that Toy\.save wrote"):
        read_model(tmp_path, "Toy")


def test_another_model(tmp_path):
    write_model(tmp_path, ARRAYS, {"model": "Other"})
    with pytest.raises(ValueError, match=r"holds a Other, not a Toy; load it with st\.models\.Other\.load"):
        read_model(tmp_path, "Toy")


def test_another_format(tmp_path):
    write_model(tmp_path, ARRAYS, {"model": "Toy"})
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(ValueError, match="has format 99; this version of semtx reads format 1"):
        read_model(tmp_path, "Toy")
