"""`fetch` called directly: through the run's own store, and back through the run's own payload."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from curate.io.fetch.stage import Fetch
from curate.io.payload import Payload
from curate.io.storage import LocalStorage
from curate.io.store import RunStore


class Got(NamedTuple):
    """What became of one URL."""

    reason: str | None
    data: bytes | None
    status: int | None
    kind: str | None
    host: str | None


def fetch(tmp_path: Path, urls: Sequence[str | None], **config: Any) -> list[Got]:
    """What becomes of each URL; loopback and names below `.example` are allowed, and nothing is retried."""
    usual: dict[str, Any] = {
        "id": "fetch",
        "allow_hosts": ("127.0.0.1", "*.example"),
        "retries": 0,
        "timeout_s": 5,
    }
    stage = Fetch.model_validate(usual | config)
    op = stage.open_with(RunStore(tmp_path / "fetched", "fetch"))
    table = pa.table(
        {"image_url": pa.array(urls, pa.string()), "image_ref": pa.nulls(len(urls), pa.string())}
    )
    out = op(table)
    assert out.drop is not None
    reasons = out.drop.to_pylist()
    assert {r for r in reasons if r} <= stage.reasons()
    references = out.columns["image_ref"].to_pylist()
    payload = Payload({}, fetched=LocalStorage(str(tmp_path / "fetched")))
    known = [r for r in references if r is not None]
    found = dict(zip(known, payload.fetch([""] * len(known), known), strict=True))
    told = [out.columns[f"image_fetch_{n}"].to_pylist() for n in ("status", "type", "host")]
    return [
        Got(reason, found.get(ref), *facts)
        for reason, ref, *facts in zip(reasons, references, *told, strict=True)
    ]


def one(tmp_path: Path, url: str | None, **config: Any) -> Got:
    return fetch(tmp_path, [url], **config)[0]


def names(patch: pytest.MonkeyPatch, table: dict[str, str | list[str]]) -> list[str]:
    """Names as a resolver tells them; returns the list of what it was asked."""
    asked: list[str] = []

    def lookup(host: bytes, port: int, **_: Any) -> list[Any]:
        name = host.decode()
        asked.append(name)
        if name not in table:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = table[name]
        found = found.pop(0) if isinstance(found, list) else found
        if not found:
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        kind = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [(kind, socket.SOCK_STREAM, 6, "", (found, port))]

    patch.setattr(socket, "getaddrinfo", lookup)
    return asked
