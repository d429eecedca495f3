from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest

import semtx as st
from semtx.semantics import EmbeddingStore, Encoder, OpenAIEncoder, get_encoder

pytest.importorskip("openai", reason="the extra semtx[openai] is not installed")
KEY = "sk-secret-0123456789"


def vector(text: str) -> list[float]:
    return [float(len(text)), float(sum(map(ord, text)) % 97), 0.5]


class Server:
    """Speaks OpenAI's embeddings protocol on the loopback; ``answers`` are given before it behaves."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answers: list[tuple[int, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, **body})
                outer.keys.append(self.headers["Authorization"])
                status, answer = outer.answers.pop(0) if outer.answers else (200, outer.embed(body))
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def embed(self, body: dict[str, Any]) -> dict[str, Any]:
        data = [
            {"object": "embedding", "index": i, "embedding": vector(text)[: body.get("dimensions", 3)]}
            for i, text in enumerate(body["input"])
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        # in reverse: only the index says which is which
        return {"object": "list", "data": data[::-1], "model": body["model"], "usage": usage}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()


@pytest.fixture
def encoder(server) -> OpenAIEncoder:
    return OpenAIEncoder("small", base_url=server.url, batch_size=3, max_retries=2, timeout=5)


TEXTS = [f"gene number {i * i}" for i in range(8)]


def test_batches_and_order(server, encoder):
    vectors = encoder.embed(TEXTS)
    np.testing.assert_allclose(vectors, [vector(text) for text in TEXTS])
    assert vectors.dtype == np.float32
    assert [len(request["input"]) for request in server.requests] == [3, 3, 2]
    assert all(request["path"] == "/v1/embeddings" for request in server.requests)
    assert all(request["encoding_format"] == "float" for request in server.requests)
    assert all("dimensions" not in request for request in server.requests)
    assert encoder.dimension == 3
    assert len(server.requests) == 3
    assert isinstance(encoder, Encoder)


def test_dimensions_are_sent_only_when_asked(server):
    encoder = get_encoder("openai:small", base_url=server.url, dimensions=2)
    assert encoder.dimension == 2
    assert encoder.embed(["MBP"]).shape == (1, 2)
    assert server.requests[0]["dimensions"] == 2


def test_dimension_is_asked_for_where_it_is_not_known(server, encoder):
    assert encoder.dimension == 3
    assert server.requests[0]["input"] == ["gene"]


def test_retries_after_server_errors(server, encoder):
    server.answers = [(500, {"error": {"message": "busy"}}), (429, {"error": {"message": "slow down"}})]
    np.testing.assert_allclose(encoder.embed(["MBP"]), [vector("MBP")])
    assert len(server.requests) == 3


def test_retries_are_capped(server, encoder):
    server.answers = [(500, {"error": {"message": "busy"}})] * 10
    with pytest.raises(RuntimeError, match=r"failed 3 times.*busy"):
        encoder.embed(["MBP"])
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (401, PermissionError, "refuses the API key in the environment variable OPENAI_API_KEY"),
        (403, PermissionError, "refuses the API key"),
        (404, ValueError, "has no model 'small'"),
        (400, ValueError, "rejects the request"),
    ],
)
def test_errors_say_what_to_do_and_never_the_key(server, encoder, status, error, message, caplog):
    server.answers = [(status, {"error": {"message": f"Incorrect API key provided: {KEY}"}})]
    with st.settings.override(verbosity="debug"), pytest.raises(error, match=message) as caught:
        encoder.embed(["MBP"])
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__
    assert len(server.requests) == 1
    assert KEY not in "".join(record.getMessage() for record in caplog.records if record.name == "semtx")


def test_a_dead_server(server, encoder):
    server.close()
    encoder._max_retries = 0
    with pytest.raises(ConnectionError, match=r"no server answers at 127\.0\.0\.1"):
        encoder.embed(["MBP"])
    server.__init__()  # for the fixture to close


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"object": "embedding", "index": 5, "embedding": [1.0]}],
        [{"object": "embedding", "index": 0, "embedding": [1.0]}] * 2,
    ],
)
def test_a_wrong_answer(server, encoder, data):
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    server.answers = [(200, {"object": "list", "data": data, "model": "small", "usage": usage})]
    with pytest.raises(ValueError, match=r"vectors to 1 texts|No embedding data"):
        encoder.embed(["MBP"])


def test_the_key_is_kept_nowhere(server, encoder, tmp_path, caplog):
    with st.settings.override(verbosity="debug"):
        EmbeddingStore(tmp_path).embed(encoder, TEXTS)
    assert server.keys[0] == f"Bearer {KEY}"
    assert KEY not in str(encoder.identity)
    assert KEY not in str(vars(encoder))
    assert KEY not in "".join(record.getMessage() for record in caplog.records if record.name == "semtx")
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_key_may_have_another_name(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "other")
    OpenAIEncoder("small", base_url=server.url, api_key_env="MY_KEY").embed(["MBP"])
    assert server.keys == ["Bearer other"]


def test_a_local_server_needs_no_key_but_openai_does(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    OpenAIEncoder("small", base_url=server.url).embed(["MBP"])
    assert KEY not in server.keys[0]
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ValueError, match="set the environment variable OPENAI_API_KEY"):
        OpenAIEncoder("text-embedding-3-small").embed(["MBP"])


def test_identity_tells_the_server_but_no_secret():
    identity = OpenAIEncoder("m", base_url="https://user:word@host:8080/v1/?token=abc").identity
    assert identity["server"].startswith("host:8080/v1")
    assert "word" not in str(identity)
    assert "abc" not in str(identity)


def test_the_cost_is_told_before_anything_is_sent(server, caplog):
    encoder = OpenAIEncoder("text-embedding-3-small", base_url=server.url)
    with st.settings.override(verbosity="info"):
        encoder.embed(TEXTS)
    assert "8 texts, about 40 tokens, about USD 8e-07" in caplog.text


def test_a_large_bill_is_told_at_the_default_verbosity(server, caplog):
    encoder = OpenAIEncoder("text-embedding-3-small", base_url=server.url)
    encoder.check_cost(["x" * 3000] * 200)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "about 200000 tokens, about USD 0.004" in record.getMessage()
    assert server.requests == []


def test_above_the_limit_nothing_is_sent(server, tmp_path):
    encoder = OpenAIEncoder("small", base_url=server.url, max_tokens=20, batch_size=1)
    with pytest.raises(ValueError, match="more than max_tokens=20; nothing was sent"):
        EmbeddingStore(tmp_path, batch_size=2).embed(encoder, TEXTS)
    with pytest.raises(ValueError, match="nothing was sent"):
        encoder.embed(TEXTS)
    assert server.requests == []
    encoder.embed(TEXTS[:2])
    assert len(server.requests) == 2


def test_the_store_tells_the_cost_once(server, encoder, tmp_path, caplog):
    with st.settings.override(verbosity="info"):
        EmbeddingStore(tmp_path, batch_size=2).embed(encoder, TEXTS)
    assert caplog.text.count("sending to") == 1


def test_without_the_package(server, encoder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"semtx\[openai\]"):
        encoder.embed(["MBP"])


def test_bad_options():
    with pytest.raises(ValueError, match="batch_size must be at least 1 and at most 2048"):
        OpenAIEncoder("m", batch_size=5000)
    with pytest.raises(ValueError, match="dimensions must be at least 1"):
        OpenAIEncoder("m", dimensions=0)
