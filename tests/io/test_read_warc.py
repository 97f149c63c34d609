"""WARC files written by warcio: which records are documents, what pages say, and what damage leaves."""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from documents import Row, drop, node, read
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcs import WORDS, Rec, page, warc

from curate.errors import RecipeError
from curate.io.html_extract import MAX_BYTES
from curate.io.storage import LocalStorage
from curate.io.warc import ReadWarc
from curate.io.warc_file import CHUNK, MAX_HEADER

PAGES = [
    Rec(
        page(f"Page {i}", '<img src="/a.png" alt="an alt">', '<img src="b%20c.png">'),
        f"http://site.org/d/{i}",
    )
    for i in range(6)
]
PNG = Rec(b"\x89PNG pixels" * 9, "http://site.org/a.png", {"Content-Type": "image/png"})
# brotli.compress(b"<p>packed</p>"), as this machine need not have it
BROTLI = base64.b64decode("CwaAPHA+cGFja2VkPC9wPgM=")


def rows(folder: Path, data: bytes, **config: Any) -> list[Row]:
    (folder / "x.warc.gz").write_bytes(data)
    return read(folder, node(ReadWarc, **config))


def one(folder: Path, record: Rec, **config: Any) -> Row:
    (row,) = rows(folder, warc([record]), **config)
    return row


def test_a_page_and_its_images(tmp_path: Path) -> None:
    html = page(
        "First",
        '<img src="/a.png?x=1" alt="an alt">',
        "Second",
        "<img src='//cdn.org/b.png'>",
        '<img src="../c d.png">',
        head="<title>T</title><link rel=license href='https://cc/by'><meta name=robots content=noarchive>",
    )
    row = one(tmp_path, Rec(html), remote="keep")
    assert row["layout"] == "titii"
    assert row["image_url"] == [
        "http://site.org/a.png?x=1",
        "http://cdn.org/b.png",
        "http://site.org/c d.png",
    ]
    assert row["image_ref"] == [None] * 3
    assert row["image_drop"] == [None] * 3
    assert row["image_alt"] == ["an alt", "", ""]
    assert (row["url"], row["title"], row["licence"]) == ("http://site.org/docs/p.html", "T", "https://cc/by")
    assert row["drop"] is None
    meta = json.loads(row["meta"])
    assert meta["date"] == "2024-01-02T03:04:05Z"
    assert meta["robots"] == ["noarchive"]
    dropped = one(tmp_path, Rec(html))
    assert dropped["image_drop"] == ["read:remote_image"] * 3
    assert dropped["image_url"] == row["image_url"]


def test_addresses_that_no_image_can_be_fetched_from(tmp_path: Path) -> None:
    sources = {
        "data:image/gif;base64,R0lG": "inline_image",
        "file:///etc/passwd": "bad_url",
        "http://[/x.png": "bad_url",
        "javascript:x": "bad_url",
        "x.png": "",
    }
    html = page("Text", *(f'<img src="{src}">' for src in sources))
    row = one(tmp_path, Rec(html), remote="keep")
    assert row["image_drop"] == [f"read:{r}" if r else None for r in sources.values()]
    base = page("Text", '<img src="x.png">', head='<base href="https://else.org/y/">')
    assert one(tmp_path, Rec(base))["image_url"] == ["https://else.org/y/x.png"]


def test_what_is_a_sample(tmp_path: Path) -> None:
    html = page("Text")
    records = [
        Rec(html, "http://h/html"),
        PNG,
        Rec(html, "http://h/xhtml", {"Content-Type": "application/xhtml+xml; charset=utf-8"}),
        Rec(html, "http://h/unsaid", {}),
        Rec(html, "http://h/plain", {"Content-Type": "text/plain"}),
        Rec(
            html,
            "http://h/looked-at",
            {"Content-Type": "application/octet-stream"},
            headers={"WARC-Identified-Payload-Type": "text/html"},
        ),
        Rec(b"GET / HTTP/1.1\r\n\r\n", "http://h/", kind="request", content_type="application/http"),
        Rec(b"a: b", "http://h/", kind="metadata", content_type="application/warc-fields"),
        Rec(b"", "http://h/again", kind="revisit"),
        Rec(html, "http://h/resource", kind="resource", content_type="text/html"),
        Rec(b"1.2.3.4", "dns:h", kind="resource", content_type="text/dns"),
    ]
    found = rows(tmp_path, warc(records))
    assert [r["url"].rpartition("/")[2] for r in found] == [
        "html",
        "xhtml",
        "unsaid",
        "looked-at",
        "resource",
    ]
    assert all(r["drop"] is None for r in found)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Rec(page("Gone"), status="404 Not Found"), "http_status"),
        (Rec(b"", status="301 Moved", http={"Location": "/"}), "http_status"),
        (Rec(b""), "empty_page"),
        (Rec(b"\x89PNG\r\n"), "not_html"),
        (Rec(b"plain words"), "not_html"),
        (Rec(b"<!doctype html><html><body></body></html>"), "no_content"),
        (Rec(b"<p>" + b"x" * MAX_BYTES), "too_large"),
        (Rec(gzip.compress(b"<p>" + b"x" * MAX_BYTES), http={"Content-Encoding": "gzip"}), "too_large"),
        (Rec(gzip.compress(page("x"))[:-40], http={"Content-Encoding": "gzip"}), "bad_encoding"),
        (Rec(BROTLI, http={"Content-Encoding": "br"}), "unknown_encoding"),
        (Rec(page("Text"), headers={"WARC-Truncated": "length"}), "cut_page"),
        (Rec(page("Text"), status="ready"), "bad_http"),
    ],
)
def test_pages_that_cannot_be_used(tmp_path: Path, record: Rec, reason: str) -> None:
    found = rows(tmp_path, warc([record, PAGES[0]]))
    assert [drop(r) for r in found] == [reason, ""]
    assert found[0]["layout"] == ""


def test_cut_pages_may_be_kept(tmp_path: Path) -> None:
    row = one(tmp_path, Rec(page("Text"), headers={"WARC-Truncated": "length"}), cut="keep")
    assert row["drop"] is None
    assert json.loads(row["meta"])["cut"] == "length"


def test_bodies_come_without_their_encodings(tmp_path: Path) -> None:
    html = page("Déjà vu")
    raw_deflate = zlib.compressobj(wbits=-15)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (html[:50], html[50:])) + b"0\r\n\r\n"
    packed = gzip.compress(html)
    bodies = [
        (html, {}),
        (packed, {"Content-Encoding": "gzip"}),
        (zlib.compress(html), {"Content-Encoding": "deflate"}),
        (raw_deflate.compress(html) + raw_deflate.flush(), {"Content-Encoding": "deflate"}),
        (chunks, {"Transfer-Encoding": "chunked"}),
        (
            b"%x;ext=1\r\n%s\r\n0\r\n\r\n" % (len(packed), packed),
            {"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"},
        ),
        # what a crawler has undone already
        (html, {"Content-Encoding": "gzip"}),
        (html, {"Content-Encoding": "br"}),
        (html, {"Content-Encoding": "deflate"}),
        (html, {"Transfer-Encoding": "chunked"}),
    ]
    found = rows(tmp_path, warc([Rec(b, http={"Content-Type": "text/html", **h}) for b, h in bodies]))
    assert {(r["drop"], tuple(r["text_body"])) for r in found} == {(None, (f"Déjà vu {WORDS}".strip(),))}


def test_the_servers_charset_is_believed(tmp_path: Path) -> None:
    html = page("Привет").decode().encode("cp1251")
    row = one(tmp_path, Rec(html, http={"Content-Type": 'text/html; charset="windows-1251"'}))
    assert row["text_body"][0].startswith("Привет")


def test_what_a_server_says_of_robots(tmp_path: Path) -> None:
    said = [
        ({"X-Robots-Tag": "noai, noarchive"}, True, ["noai", "noarchive"]),
        ({"X-Robots-Tag": "somebot: noimageai"}, True, ["noimageai"]),
        ({"TDM-Reservation": "1"}, True, None),
        ({"X-Robots-Tag": "nofollow"}, False, ["nofollow"]),
        ({}, False, None),
    ]
    found = rows(
        tmp_path, warc([Rec(page("Text"), http={"Content-Type": "text/html", **h}) for h, _, _ in said])
    )
    assert [(r["opt_out"], json.loads(r["meta"]).get("robots")) for r in found] == [
        (o, r) for _, o, r in said
    ]


# -- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["records", "whole", "plain"])
def test_any_packing_and_any_cut_give_the_same_rows(tmp_path: Path, packing: str) -> None:
    records = [r for p in PAGES for r in (PNG, p)]
    told = [{k: v for k, v in row.items() if k != "source"} for row in rows(tmp_path, warc(records))]
    assert len(told) == 6
    sources = set()
    for part_rows in (1, 4, 100):
        found = rows(tmp_path, warc(records, packing), part_rows=part_rows)
        sources.add(tuple(row.pop("source") for row in found))
        assert found == told
    assert len(sources) == 1
    assert len(set(*sources)) == 6


def test_a_source_names_the_offset_that_other_readers_find_it_by(tmp_path: Path) -> None:
    found = rows(tmp_path, warc([PNG, *PAGES]))
    for row in found:
        file, _, offset = row["source"].partition("@")
        data = (tmp_path / file).read_bytes()[int(offset) :]
        record = next(iter(ArchiveIterator(io.BytesIO(data))))
        assert record.rec_headers.get_header("WARC-Target-URI") == row["url"]


def test_ids_follow_address_and_body(tmp_path: Path) -> None:
    html = page("Text")
    same = {"WARC-Date": "2025-01-01T00:00:00Z"}
    versions = [
        Rec(html),
        Rec(html, headers=same),
        Rec(html, "http://site.org/other"),
        Rec(page("Tort")),
        Rec(b"<p>" + b"x" * MAX_BYTES),
        Rec(b"<p>" + b"y" * MAX_BYTES),
    ]
    ids = [row["sample_id"] for row in rows(tmp_path, warc(versions))]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5


@pytest.mark.parametrize("packing", ["records", "plain"])
def test_damage_costs_one_record(tmp_path: Path, packing: str) -> None:
    data = warc(PAGES, packing)
    sources = [row["source"] for row in rows(tmp_path, data)]
    offsets = [int(source.partition("@")[2]) for source in sources]
    for at in (offsets[2], offsets[2] + 3):
        broken = bytearray(data)
        broken[at] ^= 0xFF
        found = rows(tmp_path, bytes(broken), part_rows=2)
        assert [row["source"] for row in found] == sources
        assert [drop(row) for row in found] == ["", "", "unreadable_record", "", "", ""]


def test_a_page_that_only_its_checksum_gives_away(tmp_path: Path) -> None:
    # what ends a record is unpacked apart from its block: two bytes behind a full chunk
    long = "words" + " " * (2 * CHUNK)
    size = len(gzip.decompress(warc([Rec(page(long))]))) - len(gzip.decompress(warc([])))
    long = long[: 2 * CHUNK + 2 - size]
    data = bytearray(warc([PAGES[0], Rec(page(long)), PAGES[1]]))
    last = int(rows(tmp_path, bytes(data))[2]["source"].partition("@")[2])
    data[last - 6] ^= 0xFF
    assert [drop(row) for row in rows(tmp_path, bytes(data))] == ["", "unreadable_record", ""]


@pytest.mark.parametrize("packing", ["records", "whole", "plain"])
def test_a_half_finished_download(tmp_path: Path, packing: str) -> None:
    data = warc(PAGES, packing)
    whole = rows(tmp_path, data)
    for cut in range(0, len(data), max(1, len(data) // 60)):
        found = rows(tmp_path, data[:cut])
        good = [row for row in found if row["drop"] is None]
        assert good == whole[: len(good)]
        assert [drop(row) for row in found[len(good) :]] in ([], ["unreadable_record"])
        if packing != "whole":
            offsets = [int(row["source"].partition("@")[2]) for row in whole]
            assert len(good) >= sum(offset <= cut for offset in offsets) - 1


def test_what_is_no_warc_is_accounted_for(tmp_path: Path) -> None:
    for data in (
        b"not a warc",
        b"\x1f\x8b\x08 broken",
        b"\0" * 1000,
        b"<html>",
        gzip.compress(b"not a warc\n"),
    ):
        (row,) = rows(tmp_path, data)
        assert drop(row) == "unreadable_record"
        assert row["source"] == "x.warc.gz@0"
    (tmp_path / "x.warc.gz").write_bytes(b"")
    assert node(ReadWarc).split(LocalStorage(tmp_path), LocalStorage(tmp_path).find("x.*")) == []


def test_lengths_that_lie(tmp_path: Path) -> None:
    good = warc(PAGES[:1], "plain")

    def record(length: str, body: bytes) -> bytes:
        head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\n"
        http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
        return head + f"Content-Length: {length}\r\n\r\n".encode() + http + body + b"\r\n\r\n"

    for length in ("-5", "1e3", "9" * 30, "x", "99999999"):
        found = rows(tmp_path, record(length, page("Liar")) + good)
        assert [drop(row) for row in found] == ["unreadable_record", ""], length
    # too short: what is left of the page is no record
    found = rows(tmp_path, record("100", page("Liar")) + good)
    assert [drop(row) for row in found][1:] == ["unreadable_record", ""]


def test_a_header_without_end_is_not_held(tmp_path: Path) -> None:
    for flood in (b"x" * (3 * MAX_HEADER) + b"\r\n", b"a: b\r\n c\r\n" * MAX_HEADER):
        data = b"WARC/1.0\r\nContent-Length: 0\r\n" + flood + b"\r\n\r\n\r\n"
        found = rows(tmp_path, data + warc(PAGES[:1], "plain"))
        assert [drop(row) for row in found] == ["unreadable_record", ""]


def test_records_that_each_claim_the_rest_of_the_file(tmp_path: Path) -> None:
    head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\n"
    page_ = b"Content-Length: 99999999\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + b"<p>" * 900 + b"\n"
    for record, count in ((b"WARC/1.0\n", 11_000), (head + page_, 2_500)):
        begin = time.process_time()
        found = rows(tmp_path, record * count)
        assert time.process_time() - begin < 4
        assert [drop(row) for row in found] == ["unreadable_record"] * count


def test_text_files_of_common_crawl_are_refused(tmp_path: Path) -> None:
    record = Rec(b"words", "http://h/", kind="conversion", content_type="text/plain")
    (tmp_path / "x.warc.wet.gz").write_bytes(warc([record]))
    (tmp_path / "y.warc.zst").write_bytes(b"\x28\xb5\x2f\xfd0000")
    storage = LocalStorage(tmp_path)
    with pytest.raises(RecipeError, match="WET"):
        node(ReadWarc).check(storage, storage.find("x.*"))
    with pytest.raises(RecipeError, match="zstd"):
        node(ReadWarc).check(storage, storage.find("y.*"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_hostile_files_raise_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("warcs")
    raw = bytearray(warc(PAGES[:3], data.draw(st.sampled_from(["records", "whole", "plain"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    rows(folder, bytes(raw), part_rows=data.draw(st.sampled_from([1, 100])))
