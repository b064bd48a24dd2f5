"""Downloads of weights from a server on this machine that behaves well, and badly."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from SynthFoundationLib.errors import Cancelled, WeightsError
from SynthFoundationLib.features import download
from SynthFoundationLib.features.registry import WeightsEntry
from SynthFoundationLib.features.unet import UNetConfig

CONTENT = bytes(range(256)) * 4000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        wanted, start = self.headers.get("Range"), 0
        self.server.requests_seen.append(wanted)
        if wanted and self.server.resumes:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.server.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        stop = self.server.breaks_after
        self.wfile.write(self.server.content[start:stop])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.breaks_after, server.resumes, server.requests_seen = CONTENT, None, True, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def entry(server: ThreadingHTTPServer) -> WeightsEntry:
    source = f"http://127.0.0.1:{server.server_port}/net.safetensors"
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return WeightsEntry("net", "net.safetensors", sha256, "MIT", UNetConfig(), source)


def test_file_arrives_whole_and_is_not_fetched_twice(entry, server, tmp_path: Path):
    steps = []
    path = download.downloaded(entry, True, tmp_path / "new", lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert download.downloaded(entry, False, tmp_path / "new") == path
    assert len(server.requests_seen) == 1
    assert [file.name for file in path.parent.iterdir()] == ["net.safetensors"]


def test_nothing_is_fetched_without_consent(entry, server, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"licence MIT.*Allow their download"):
        download.downloaded(entry, folder=tmp_path)
    assert server.requests_seen == []


@pytest.mark.parametrize("resumes", [True, False], ids=["server resumes", "server starts over"])
def test_broken_download_is_completed_the_next_time(entry, server, tmp_path: Path, resumes: bool):
    server.breaks_after, server.resumes = 300_000, resumes
    with pytest.raises(WeightsError, match="resumes"):
        download.downloaded(entry, True, tmp_path)
    assert not (tmp_path / "net.safetensors").exists()
    server.breaks_after = None
    assert download.downloaded(entry, True, tmp_path).read_bytes() == CONTENT
    assert server.requests_seen == [None, "bytes=300000-"]


def test_stopped_download_keeps_what_arrived(entry, tmp_path: Path):
    def stop(done: int, total: int | None) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        download.downloaded(entry, True, tmp_path, stop)
    assert [file.suffix for file in tmp_path.iterdir()] == [".part"]
    assert download.downloaded(entry, True, tmp_path).read_bytes() == CONTENT


def test_wrong_content_is_refused_and_deleted(entry, server, tmp_path: Path):
    server.content = CONTENT[::-1]
    with pytest.raises(WeightsError, match="not used"):
        download.downloaded(entry, True, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_too_long_a_remainder_is_refused_and_deleted(entry, tmp_path: Path):
    (tmp_path / f"net.safetensors.{entry.sha256[:12]}.part").write_bytes(CONTENT + b"more")
    with pytest.raises(WeightsError, match="not used"):
        download.downloaded(entry, True, tmp_path)
    assert download.downloaded(entry, True, tmp_path).read_bytes() == CONTENT


def test_unreachable_or_strange_sources_are_refused(entry, server, tmp_path: Path):
    with pytest.raises(WeightsError, match="http"):
        download.downloaded(replace(entry, source="file:///etc/hostname"), True, tmp_path)
    server.content = b""
    with pytest.raises(WeightsError, match="failed"):
        download.downloaded(entry, True, tmp_path)


def test_cache_folder_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SYNTHFOUNDATION_CACHE", str(tmp_path))
    assert download.cache_folder() == tmp_path
    monkeypatch.delenv("SYNTHFOUNDATION_CACHE")
    assert download.cache_folder().is_absolute()
