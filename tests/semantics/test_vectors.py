from __future__ import annotations

import gzip
import pickle

import numpy as np
import pandas as pd
import pytest

from semtx.semantics import read_vectors

NAMES = ["MBP", "SNAP25", "NAN"]
VECTORS = np.array([[1, 0.5], [0, -1], [2, 2]], dtype=np.float32)


def same(found: dict) -> None:
    assert list(found) == NAMES
    np.testing.assert_array_equal(np.stack(list(found.values())), VECTORS)
    assert all(vector.dtype == np.float32 for vector in found.values())


def test_in_memory():
    table = pd.DataFrame(VECTORS, index=NAMES)
    same(read_vectors(table))
    same(read_vectors(table.reset_index(names="gene")))
    same(read_vectors({name: list(vector) for name, vector in zip(NAMES, VECTORS, strict=True)}))


@pytest.mark.parametrize("keys", [("names", "vectors"), ("genes", "embeddings"), None])
def test_npz(tmp_path, keys):
    path = tmp_path / "x.npz"
    content = dict(zip(NAMES, VECTORS, strict=True)) if keys is None else {keys[0]: np.array(NAMES), keys[1]: VECTORS}
    np.savez(path, **content)
    same(read_vectors(path))


@pytest.mark.parametrize("index", [True, False])
def test_parquet_and_delimited(tmp_path, index):
    table = pd.DataFrame(VECTORS, index=pd.Index(NAMES, name="gene"), columns=["a", "b"])
    table.reset_index().to_csv(tmp_path / "x.csv", index=False)
    table.reset_index().to_csv(tmp_path / "x.tsv.gz", index=False, sep="\t")
    (table if index else table.reset_index()).to_parquet(tmp_path / "x.parquet")
    for name in ("x.csv", "x.tsv.gz", "x.parquet"):
        same(read_vectors(tmp_path / name))


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("header", ["", "3 2\n"])
@pytest.mark.parametrize("name", ["gene2vec_dim_2_iter_9.txt", "x.txt.gz"])
def test_gene2vec(tmp_path, separator, header, name):
    lines = [separator.join([gene, *map(str, vector)]) for gene, vector in zip(NAMES, VECTORS.tolist(), strict=True)]
    text = header + "\n".join(lines) + "\n"
    content = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
    (tmp_path / name).write_bytes(content)
    same(read_vectors(str(tmp_path / name)))


def test_pickle_of_genept(tmp_path):
    path = tmp_path / "GenePT.pickle"
    path.write_bytes(pickle.dumps({name: vector.tolist() for name, vector in zip(NAMES, VECTORS, strict=True)}))
    same(read_vectors(path))
    path.write_bytes(pickle.dumps(pd.DataFrame(VECTORS, index=NAMES)))
    same(read_vectors(path))
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="holds a list"):
        read_vectors(path)


def test_the_first_of_equal_names_is_kept(caplog):
    found = read_vectors(pd.DataFrame([[1.0], [2.0], [3.0]], index=["A", "A ", "B"]))
    assert {name: vector[0] for name, vector in found.items()} == {"A": 1.0, "B": 3.0}
    assert "1 genes more than once" in caplog.text


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (3, TypeError, "got int"),
        ("https://host/genept.pickle", ValueError, "local files only"),
        ("/no/such/file.npz", FileNotFoundError, "no file"),
        ({}, ValueError, "holds no gene vectors"),
        ({"A": [1, 2], "B": [1]}, ValueError, "same length"),
        ({"A": [np.nan, 2.0]}, ValueError, "NaN or infinite values for 'A'"),
        ({"A": ["x", "y"]}, TypeError, "not numbers"),
        (pd.DataFrame([[1.0, 2.0]]), ValueError, "no gene names"),
        (pd.DataFrame({"a": ["x"], "b": ["y"], "c": [1.0]}), TypeError, "'a', 'b' are not numeric"),
    ],
)
def test_bad_sources(source, error, message):
    with pytest.raises(error, match=message):
        read_vectors(source)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"A 1 2\nB 1\n", "line 2 of x.txt has 1 numbers"),
        ("x.txt", b"A 1 2\nB one 2\n", "line 2 of x.txt is not"),
        ("x.txt", b"", "holds no gene vectors"),
        ("x.docx", b"", "no known form"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_vectors(tmp_path / name)


def test_npz_of_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", names=np.array(NAMES, dtype=object), vectors=VECTORS)
    with pytest.raises(ValueError, match="allow_pickle"):
        read_vectors(tmp_path / "x.npz")
