"""What img2dataset itself downloads and writes is what our sources read: bytes, captions, URLs and keys."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pools
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from venvs import environment

from curate import sample
from curate.io.folder import ReadFolder
from curate.io.parquet import ReadParquet
from curate.io.payload import Payload
from curate.io.source import Read
from curate.io.storage import LocalStorage, split_pattern
from curate.io.webdataset import ReadWebdataset

pytestmark = [pytest.mark.loaders, pytest.mark.timeout(900)]

COUNT, SHARD = 40, 16
GONE, FORBIDDEN = {7, 21, 39}, {11}  # by the server; by its X-Robots-Tag
ODD = {2: "Zwei\nZeilen, “quoted” & 图", 3: "", 5: " spaces ", 8: "emoji 👩‍👩‍👧 {json: 1}"}


def picture(number: int) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 255, (20 + number, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "jpeg", quality=80)
    return out.getvalue()


def caption(number: int) -> str:
    return ODD.get(number, f"caption of picture {number}")


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        number = int(self.path.strip("/").partition(".")[0])
        body = picture(number)
        self.send_response(404 if number in GONE else 200)
        if number in FORBIDDEN:
            self.send_header("X-Robots-Tag", "noai")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Downloaded(NamedTuple):
    """A folder that img2dataset wrote, and the address its images came from."""

    folder: Path
    site: str


Download = Callable[[str], Downloaded]


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Download]:
    """img2dataset over a site of this machine; bytes are kept as they come."""
    program = environment("img2dataset==1.47.0") / "img2dataset"
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    site = f"http://127.0.0.1:{server.server_port}"
    folder = tmp_path_factory.mktemp("img2dataset")
    rows = [{"URL": f"{site}/{i}.jpg", "TEXT": caption(i), "licence": f"cc-{i % 3}"} for i in range(COUNT)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "list.parquet")

    def run(form: str) -> Downloaded:
        out = folder / form
        options = {
            "url_list": folder / "list.parquet",
            "input_format": "parquet",
            "url_col": "URL",
            "caption_col": "TEXT",
            "save_additional_columns": '["licence"]',
            "output_format": form,
            "output_folder": out,
            "disable_all_reencoding": True,
            "number_sample_per_shard": SHARD,
            "processes_count": 1,
            "thread_count": 4,
            "timeout": 20,
            "enable_wandb": False,
        }
        command = [os.fspath(program), *(f"--{name}={value}" for name, value in options.items())]
        # nothing but this machine is asked: no proxy, no look for updates
        own = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "NO_ALBUMENTATIONS_UPDATE": "1"}
        subprocess.run(command, check=True, env={**os.environ, **own}, stdout=subprocess.DEVNULL)
        return Downloaded(out, site)

    made: dict[str, Downloaded] = {}

    def once(form: str) -> Downloaded:
        if form not in made:
            made[form] = run(form)
        return made[form]

    yield once
    server.shutdown()
    thread.join()
    server.server_close()


def read(folder: Path, source: Read) -> list[dict[str, Any]]:
    """Every row of the folder, as a run finds them, with the bytes of its images."""
    storage = LocalStorage(folder)
    _, patterns = split_pattern(os.fspath(folder), source.in_folder)
    files = [file for pattern in patterns for file in storage.find(pattern)]
    parts = [part for group in source.group(files) for part in source.split(storage, group)]
    table = pa.concat_tables([source.rows(storage, part) for part in parts]).combine_chunks()
    sample.check(table)
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        references = row["image_ref"]
        row["bytes"] = Payload({"ds": storage}).fetch(["ds"] * len(references), references)
    return rows


def node(cls: type[Read], **config: Any) -> Read:
    return cls.model_validate({"path": "x", "id": "read", "name": "ds", **config})


def number_of(row: dict[str, Any]) -> int:
    return int(row["image_url"][0].rpartition("/")[2].partition(".")[0])


def assert_as_put_in(rows: list[dict[str, Any]], site: str, key: Callable[[dict[str, Any]], str]) -> None:
    """The rows are those that could be downloaded, each with what the list said and the site gave."""
    by_number = {number_of(row): row for row in rows}
    assert len(by_number) == len(rows)
    assert set(by_number) == set(range(COUNT)) - GONE - FORBIDDEN
    for number, row in by_number.items():
        data = picture(number)
        assert row["bytes"] == [data]
        assert [text.strip() for text in row["text_body"]] == [caption(number).strip()]
        assert row["image_url"] == [f"{site}/{number}.jpg"]
        assert row["licence"] == f"cc-{number % 3}"
        meta = json.loads(row["meta"])
        assert meta["sha256"] == hashlib.sha256(data).hexdigest()
        assert meta["status"] == "success"
        # 16 rows a shard take two digits of the key, the shard five
        assert key(row) == f"{number // SHARD:05d}{number % SHARD:02d}"


def test_webdataset(download: Download) -> None:
    folder, site = download("webdataset")
    rows = read(folder, node(ReadWebdataset))
    assert len(list(folder.glob("*.tar"))) == 3
    assert {row["text_body"][0] for row in rows} >= set(ODD.values())
    assert_as_put_in(rows, site, lambda row: row["source"].partition("#")[2].partition("@")[0])
    assert all(row["drop"] is None for row in rows)


def test_parquet(download: Download) -> None:
    folder, site = download("parquet")
    rows = read(folder, node(ReadParquet, image="jpg", text="caption", key="key"))
    good = [row for row in rows if row["layout"] == "it"]
    assert_as_put_in(good, site, lambda row: json.loads(row["meta"])["key"])
    assert all(row["drop"] is None for row in good)
    # what could not be had is in the file too, and says why
    failed = [row for row in rows if row["layout"] != "it"]
    assert len(failed) == len(GONE | FORBIDDEN)
    assert {row["drop"] for row in failed} == {"read:missing_image"}
    messages = [json.loads(row["meta"])["error_message"] for row in failed]
    assert sum("404" in message for message in messages) == len(GONE)
    assert sum("X-Robots-Tag" in message for message in messages) == len(FORBIDDEN)


def test_files(download: Download) -> None:
    folder, site = download("files")
    rows = read(folder, node(ReadFolder, captions="json", text=["caption"]))
    pairs = [row for row in rows if "i" in row["layout"]]
    assert_as_put_in(pairs, site, lambda row: Path(row["source"]).stem)
    assert {number_of(row) for row in pairs if row["text_drop"] != [None]} == {3}  # the empty caption
    # its statistics are JSON files beside no image
    others = {(row["source"], row["drop"]) for row in rows if "i" not in row["layout"]}
    assert others == {(f"0000{i}_stats.json", "read:missing_image") for i in range(3)}


def test_the_index_beside_the_tars_can_be_fetched_again(download: Download) -> None:
    """Every row of the list is in the sidecars: with `remote: keep` they are pairs for a `fetch` node."""
    folder, site = download("webdataset")
    found = read(folder, node(ReadParquet, image="url", text="caption", remote="keep"))
    assert [row["image_url"] for row in sorted(found, key=number_of)] == [
        [f"{site}/{i}.jpg"] for i in range(COUNT)
    ]
    assert {row["drop"] for row in found} == {None}


def test_what_we_write_is_what_it_would_have_written(download: Download, tmp_path: Path) -> None:
    """Its shards through a run with `img2dataset: true`: the same of each picture, but for keys and EXIF."""
    folder, _ = download("webdataset")
    nodes = [
        {"id": "raw", "stage": "read_webdataset", "path": f"{folder}/*.tar"},
        {"id": "out", "stage": "write_webdataset", "images": "original", "img2dataset": True},
    ]
    pools.run({"name": "again", "nodes": nodes}, tmp_path / "run", modules=())
    ours = pq.read_table(tmp_path / "run" / "out" / "00000.parquet")
    theirs = pa.concat_tables([pq.read_table(p) for p in sorted(folder.glob("*.parquet"))])
    names = [name for name in theirs.column_names if name not in ("key", "licence", "exif")]
    assert len(names) == 9
    assert [ours.schema.field(n).type for n in names] == [theirs.schema.field(n).type for n in names]
    good = {row["url"]: row for row in theirs.select(names).to_pylist() if row["status"] == "success"}
    empty = [url for url, row in good.items() if not row["caption"].strip()]
    assert len(empty) == 1  # no pair of ours
    del good[empty[0]]
    for row in good.values():  # told not to encode anew, it does not look at sizes
        sides = {"width": 30, "height": 20 + number_of({"image_url": [row["url"]]})}
        row |= sides | {f"original_{name}": side for name, side in sides.items()}
    assert {row["url"]: row for row in ours.select(names).to_pylist()} == good
    stats = [
        json.loads(path.read_text())
        for path in (tmp_path / "run" / "out" / "00000_stats.json", folder / "00000_stats.json")
    ]
    mine, its = ({k: type(v) for k, v in found.items()} for found in stats)
    assert mine == its
    assert stats[0]["successes"] == len(good)
