"""An S3 endpoint on this machine, by moto, for the real s3fs and botocore in any process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

BUCKET = "bucket"
# Each request, otherwise, with every failure.
logging.getLogger("werkzeug").setLevel(logging.ERROR)
SECRET = "a-secret-that-nobody-may-print"


class Storage:
    """A bucket, and what is in it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def url(self, path: str) -> str:
        return f"s3://{BUCKET}/{path}"

    def put(self, folder: Path, path: str) -> str:
        """Upload all files below a folder, and return the URL."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                key = f"{path}/{file.relative_to(folder).as_posix()}"
                self._client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
        return self.url(path)

    def put_file(self, file: Path, path: str) -> str:
        self._client.put_object(Bucket=BUCKET, Key=path, Body=file.read_bytes())
        return self.url(path)

    def delete(self, path: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=path)

    def files(self, path: str) -> dict[str, bytes]:
        """Return all that lies below a path, by relative name."""
        listed = self._client.list_objects_v2(Bucket=BUCKET, Prefix=f"{path}/")
        keys = [entry["Key"] for entry in listed.get("Contents", [])]
        return {
            key.removeprefix(f"{path}/"): self._client.get_object(Bucket=BUCKET, Key=key)[
                "Body"
            ].read()
            for key in keys
        }


@contextmanager
def running_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """Serve an empty bucket, to this process and its children."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    # All servers of a process serve the same buckets.
    requests.post(f"{endpoint}/moto-api/reset", timeout=10).raise_for_status()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    try:
        yield Storage(client)
    finally:
        server.stop()
