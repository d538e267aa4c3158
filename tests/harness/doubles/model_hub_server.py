"""A model hub and a Remote Settings server on loopback with the documented APIs, whose responses can be truncated."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

COMMIT = "c0ffee" + "0" * 34
"""The commit of every model's files."""


def zstd_frame(content: bytes) -> bytes:
    """Return a Zstandard frame (RFC 8878) of raw blocks, with the size of the content in its header."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0b10100000]) + len(content).to_bytes(4, "little")
    pieces = [content[at : at + 100_000] for at in range(0, len(content), 100_000)] or [b""]
    for at, piece in enumerate(pieces):
        frame += (len(piece) << 3 | (at == len(pieces) - 1)).to_bytes(3, "little") + piece
    return frame


def sha256(content: bytes) -> str:
    """Return the SHA-256 hash in hexadecimal, as records have it."""
    return hashlib.sha256(content).hexdigest()


@dataclass
class ModelHubServer:
    """The server's content and its requests.

    Attributes:
        url: the server's base URL.
        pages: the responses, by path.
        truncations: number of further responses of each path that end in the middle.
        required_tokens: token of each path without which a request gets status 403.
        requests: path and Range header of each request.
    """

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict[str, bytes])
    truncations: dict[str, int] = field(default_factory=dict[str, int])
    required_tokens: dict[str, str] = field(default_factory=dict[str, str])
    requests: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, str | None]])

    def add_model(self, name: str, files: dict[str, bytes]) -> None:
        """Publish a model as the hub does: large files by their hash."""
        siblings: list[dict[str, Any]] = [{"rfilename": "onnx/model.onnx", "size": 1, "blobId": "0" * 40}]
        for path, content in files.items():
            sibling: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": "0" * 40}
            if path.endswith((".safetensors", ".gguf")):
                sibling["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(sibling)
            self.pages[f"/{name}/resolve/{COMMIT}/{path}"] = content
        self.pages[f"/api/models/{name}"] = json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()

    def add_translation_models(self, *records: dict[str, Any]) -> None:
        """Publish translation models as Remote Settings does."""
        self.pages["/v1/"] = json.dumps({"capabilities": {"attachments": {"base_url": f"{self.url}/cdn/"}}}).encode()
        path = "/v1/buckets/main/collections/translations-models-v2/records"
        self.pages[path] = json.dumps({"data": records}).encode()

    def publish_file(
        self, name: str, kind: str, content: bytes, version: str = "3.0", pair: str = "enpt"
    ) -> dict[str, Any]:
        """Publish a file as an attachment, and return its record.

        Args:
            name: the file's name.
            kind: the file's type.
            content: the file's content.
            version: the model's version.
            pair: the source and the target language, two letters each.
        """
        compressed = zstd_frame(content)
        location = f"main/{version}-{name}.zst"
        self.pages[f"/cdn/{location}"] = compressed
        return {
            "name": name,
            "fileType": kind,
            "sourceLanguage": pair[:2],
            "targetLanguage": pair[2:],
            "version": version,
            "architecture": "tiny",
            "decompressedHash": sha256(content),
            "decompressedSize": len(content),
            "attachment": {
                "filename": f"{name}.zst",
                "location": location,
                "hash": sha256(compressed),
                "size": len(compressed),
                "mimetype": "application/zstd",
            },
        }


@contextmanager
def model_hub_server() -> Iterator[ModelHubServer]:
    """Run the server during the block."""
    host = ModelHubServer()

    class HubHandler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, requested_range = self.path.partition("?")[0], self.headers.get("range")
            host.requests.append((path, requested_range))
            if path not in host.pages:
                self.send_error(404)
                return
            if (
                path in host.required_tokens
                and self.headers.get("authorization") != f"Bearer {host.required_tokens[path]}"
            ):
                self.send_error(403)
                return
            content = host.pages[path]
            begin = int(requested_range.removeprefix("bytes=").rstrip("-")) if requested_range else 0
            self.send_response(206 if requested_range else 200)
            self.send_header("content-length", str(len(content) - begin))
            if requested_range:
                self.send_header("content-range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if host.truncations.get(path, 0):
                host.truncations[path] -= 1
                self.wfile.write(content[begin : begin + (len(content) - begin) // 2])
                self.close_connection = True
                return
            self.wfile.write(content[begin:])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HubHandler)
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
