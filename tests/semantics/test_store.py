from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from semtx.semantics import EmbeddingStore


class Spelling:
    """Vectors that follow from the text, and a list of everything that was embedded."""

    name = "spelling"
    dimension = 3

    def __init__(self, **identity: str) -> None:
        self.identity = {"backend": "spelling", **identity}
        self.seen: list[str] = []

    def vector(self, text: str) -> list[float]:
        return [len(text), sum(map(ord, text)) % 101, ord(text[0]) if text else 0]

    def embed(self, texts: list[str]) -> np.ndarray:
        self.seen += texts
        return np.array([self.vector(text) for text in texts], dtype=np.float32).reshape(len(texts), 3)


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path, batch_size=4)


TEXTS = [f"GENE{i}: tëxt {i % 7}" for i in range(30)]


def files(store: EmbeddingStore) -> list:
    return sorted(store.folder.rglob("*.npz"))


def test_vectors_come_in_the_order_of_the_texts_and_equal_texts_once(store):
    encoder = Spelling()
    texts = [TEXTS[3], "", TEXTS[1], TEXTS[3]]
    vectors = store.embed(encoder, texts)
    np.testing.assert_array_equal(vectors, [encoder.vector(text) for text in texts])
    assert vectors.dtype == np.float32
    assert encoder.seen == [TEXTS[3], "", TEXTS[1]]


def test_a_second_call_makes_no_encoder_call(store):
    first = store.embed(Spelling(), TEXTS)
    encoder = Spelling()
    np.testing.assert_array_equal(EmbeddingStore(store.folder).embed(encoder, TEXTS[::-1]), first[::-1])
    assert encoder.seen == []


def test_only_unseen_texts_are_embedded(store):
    store.embed(Spelling(), TEXTS[:10])
    encoder = Spelling()
    vectors = store.embed(encoder, TEXTS)
    assert encoder.seen == TEXTS[10:]
    np.testing.assert_array_equal(vectors, [encoder.vector(text) for text in TEXTS])


@pytest.mark.parametrize("other", [{"revision": "2"}, {"pooling": "last"}])
def test_another_identity_or_template_shares_nothing(store, other):
    store.embed(Spelling(), TEXTS[:2], "full/1")
    changed, template = Spelling(**other), Spelling()
    store.embed(changed, TEXTS[:2], "full/1")
    store.embed(template, TEXTS[:2], "full/2")
    assert changed.seen == template.seen == TEXTS[:2]


def test_no_text_gives_an_array_of_the_right_width(store):
    assert store.embed(Spelling(), []).shape == (0, 3)
    assert files(store) == []


def test_pieces_are_merged(store):
    store.embed(Spelling(), TEXTS)
    assert len(files(store)) == 1
    assert not list(store.folder.rglob("*.unfinished"))


def test_texts_are_not_stored(store):
    store.embed(Spelling(), ["a secret text"])
    assert not any(b"secret" in path.read_bytes() for path in store.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "garbage"])
def test_a_damaged_file_costs_only_its_own_texts(store, damage, caplog):
    store.embed(Spelling(), TEXTS[:3])
    (path,) = files(store)
    store.embed(Spelling(), TEXTS[3:6])
    content = path.read_bytes()
    middle = len(content) - 400  # in the stored vectors
    path.write_bytes(
        {
            "truncated": content[: len(content) // 2],
            "empty": b"",
            "flipped": content.replace(content[-330:-320], bytes(255 - byte for byte in content[-330:-320])),
            "garbage": os.urandom(middle),
        }[damage]
    )
    encoder = Spelling()
    vectors = store.embed(encoder, TEXTS[:6])
    np.testing.assert_array_equal(vectors, [encoder.vector(text) for text in TEXTS[:6]])
    assert encoder.seen == TEXTS[:3]
    assert "damaged" in caplog.text
    again = Spelling()
    store.embed(again, TEXTS[:6])
    assert again.seen == []


def test_every_flipped_byte_of_the_vectors_is_noticed(store):
    encoder = Spelling()
    store.embed(encoder, TEXTS[:2])
    (path,) = files(store)
    content = path.read_bytes()
    start = content.index(np.array(encoder.vector(TEXTS[0]), dtype=np.float32).tobytes())
    for place in range(start, start + 24):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        again = Spelling()
        store.embed(again, TEXTS[:2])
        assert again.seen == TEXTS[:2]
        (path,) = files(store)


def test_an_interrupt_loses_at_most_one_batch(store):
    class Interrupted(Spelling):
        def embed(self, texts: list[str]) -> np.ndarray:
            if len(self.seen) >= 8:
                raise KeyboardInterrupt
            return super().embed(texts)

    with pytest.raises(KeyboardInterrupt):
        store.embed(Interrupted(), TEXTS)
    encoder = Spelling()
    store.embed(encoder, TEXTS)
    assert encoder.seen == TEXTS[8:]


_PROCESS = textwrap.dedent(
    """
    import os, sys
    import numpy as np
    from semtx.semantics import EmbeddingStore

    class Encoder:
        name, dimension, identity, calls = "spelling", 2, {"backend": "process"}, 0

        def embed(self, texts):
            self.calls += 1
            if self.calls == int(sys.argv[4]):
                os._exit(9)  # as a kill: nothing is cleaned up
            return np.array([[len(text), sum(map(ord, text)) % 101] for text in texts], dtype=np.float32)

    texts = [f"text {i}" for i in range(int(sys.argv[2]), int(sys.argv[3]))]
    vectors = EmbeddingStore(sys.argv[1], batch_size=5).embed(Encoder(), texts)
    assert (vectors == [[len(text), sum(map(ord, text)) % 101] for text in texts]).all()
    """
)


def _start(folder, first: int, last: int, die_at: int = 0) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", _PROCESS, str(folder), str(first), str(last), str(die_at)])


def _stored(store: EmbeddingStore, n: int) -> int:
    class Counting(Spelling):
        dimension = 2

        def embed(self, texts: list[str]) -> np.ndarray:
            self.seen += texts
            return np.array([[len(text), sum(map(ord, text)) % 101] for text in texts], dtype=np.float32)

    encoder = Counting()
    encoder.identity = {"backend": "process"}
    texts = [f"text {i}" for i in range(n)]
    vectors = store.embed(encoder, texts)
    np.testing.assert_array_equal(vectors, Counting().embed(texts))
    return n - len(encoder.seen)


def test_two_processes_at_once(store):
    both = [_start(store.folder, 0, 120), _start(store.folder, 60, 180)]
    assert [process.wait() for process in both] == [0, 0]
    assert _stored(store, 180) == 180


def test_a_kill_in_the_middle(store):
    assert _start(store.folder, 0, 60, die_at=4).wait() == 9
    assert _stored(store, 60) == 15


def test_unfinished_files_of_a_killed_process_are_swept(store):
    store.embed(Spelling(), TEXTS[:2])
    shelf = files(store)[0].parent
    old, new = shelf / ".a.npz.b.unfinished", shelf / ".c.npz.d.unfinished"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (0, 0))
    store.embed(Spelling(), TEXTS[2:4])
    assert not old.exists()
    assert new.exists()


def test_a_store_that_cannot_be_written_still_embeds(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    encoder = Spelling()
    vectors = EmbeddingStore(tmp_path / "file" / "folder").embed(encoder, TEXTS[:2])
    np.testing.assert_array_equal(vectors, [encoder.vector(text) for text in TEXTS[:2]])
    assert "could not be stored" in caplog.text


@pytest.mark.parametrize(
    ("answer", "message"),
    [(np.zeros((1, 3)), "shape"), (np.zeros(2), "shape"), (np.full((2, 3), np.nan), "NaN")],
)
def test_a_wrong_answer_is_refused_and_not_stored(store, answer, message):
    encoder = Spelling()
    encoder.embed = lambda texts: answer
    with pytest.raises(ValueError, match=message):
        store.embed(encoder, TEXTS[:2])
    assert files(store) == []


def test_a_changed_length_is_refused(store):
    store.embed(Spelling(), TEXTS[:2])
    encoder = Spelling()
    encoder.embed = lambda texts: np.zeros((len(texts), 5))
    with pytest.raises(ValueError, match=r"expected \(2, 3\)"):
        store.embed(encoder, [TEXTS[0], *TEXTS[5:7]])


def test_the_cost_is_checked_once_with_all_unseen_texts(store):
    store.embed(Spelling(), TEXTS[:3])
    encoder = Spelling()
    checked = []
    encoder.check_cost = checked.append
    store.embed(encoder, TEXTS)
    assert checked == [TEXTS[3:]]


def test_the_default_folder_is_in_the_cache():
    import semtx as st

    assert EmbeddingStore().folder == st.settings.cachedir / "embeddings"


def test_several_batches_show_a_progress_bar_in_a_terminal(store, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    store.embed(Spelling(), TEXTS[:4])
    assert "spelling" not in capsys.readouterr().err
    store.embed(Spelling(), TEXTS)
    assert "spelling" in capsys.readouterr().err
