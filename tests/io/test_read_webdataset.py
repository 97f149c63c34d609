"""Pairs out of tars: WebDataset's grouping, what becomes of damaged archives, ids that survive resharding."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webdataset.tariterators import group_by_keys, tar_file_expander

from curate import sample
from curate.errors import RecipeError
from curate.io import tar
from curate.io.payload import Payload
from curate.io.storage import LocalStorage
from curate.io.webdataset import ReadWebdataset

Files = list[tuple[str, bytes]]
Row = dict[str, Any]


def tar_bytes(files: Files, form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, body in files:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def named(text: str) -> Files:
    """Members whose bodies are their names."""
    return [(name, name.encode()) for name in text.split()]


def read(folder: Path, archive: bytes, name: str = "00000.tar", **config: object) -> pa.Table:
    """All rows of one archive, through split and rows."""
    (folder / name).write_bytes(archive)
    storage = LocalStorage(folder)
    reader = ReadWebdataset.model_validate({"path": "x", "id": "read", "name": "ds", **config})
    parts = reader.split(storage, [storage.stat(name)])
    tables = [reader.rows(storage, part) for part in parts]
    assert [t.num_rows for t in tables] == [p.stop - p.start for p in parts]
    assert [p.start for p in parts] == [0, *(p.stop for p in parts)][: len(parts)]
    empty = pa.unify_schemas([sample.BASE, reader.writes()]).empty_table()
    table = pa.concat_tables([empty, *tables]).combine_chunks()
    sample.check(table)
    reasons = set(table["drop"].to_pylist())
    for level in ("image_drop", "text_drop"):
        reasons |= {reason for row in table[level].to_pylist() for reason in row}
    assert reasons - {None} <= {f"read:{r}" for r in reader.reasons()}
    return table


def rows_of(folder: Path, archive: bytes, **config: object) -> list[Row]:
    return read(folder, archive, **config).to_pylist()  # type: ignore[arg-type, no-any-return]


def row_of(folder: Path, files: Files, **config: object) -> Row:
    """The one row of an archive of these members."""
    (row,) = rows_of(folder, tar_bytes(files), **config)
    return row


def image_bytes(folder: Path, row: Row) -> list[bytes | str]:
    references = row["image_ref"]
    return Payload({"ds": LocalStorage(folder)}).fetch(["ds"] * len(references), references)


PAIR: Files = [
    ("000000001.jpg", b"\xff\xd8pixels"),
    ("000000001.txt", "ein Hünd".encode()),
    ("000000001.json", json.dumps({"url": "http://a/b.jpg", "license": "cc0", "width": 7}).encode()),
]


def test_pair(tmp_path: Path) -> None:
    row = row_of(tmp_path, PAIR)
    assert (row["layout"], row["drop"], row["text_body"]) == ("it", None, ["ein Hünd"])
    assert (row["image_url"], row["licence"], row["meta"]) == (["http://a/b.jpg"], "cc0", '{"width":7}')
    assert row["source"] == "00000.tar#000000001@0"
    assert image_bytes(tmp_path, row) == [b"\xff\xd8pixels"]


def test_empty_tar_has_no_rows_and_an_empty_file_is_no_tar(tmp_path: Path) -> None:
    assert rows_of(tmp_path, tar_bytes([])) == []
    assert [r["drop"] for r in rows_of(tmp_path, b"")] == ["read:unreadable_archive"]


@pytest.mark.parametrize(
    ("files", "layout", "drop"),
    [
        (named("a.txt"), "t", "missing_image"),
        (named("a.jpg"), "i", "missing_text"),
        ([("a.json", b"{}")], "", "missing_image"),
        (named("a.jpg a.png a.txt"), "iit", "several_images"),
        (named("a.jpg a.txt a.ocr.txt"), "itt", "several_texts"),
        (named("a.jpg a.JPG a.txt"), "iit", "duplicate_member"),
        ([("a.jpg", b"x"), ("a.json", b'{"caption": 3}')], "i", "missing_text"),
        ([("a.jpg", b"x"), ("a.json", b'{"caption": ')], "i", "bad_json"),
    ],
)
def test_incomplete_samples(tmp_path: Path, files: Files, layout: str, drop: str) -> None:
    row = row_of(tmp_path, files)
    assert (row["layout"], row["drop"]) == (layout, f"read:{drop}")


def test_named_members_win(tmp_path: Path) -> None:
    files = named("a.rgb.png a.far.rgb.png a.txt a.ocr.txt")
    row = row_of(tmp_path, files, image="rgb.png", text="ocr.txt")
    assert (row["drop"], row["text_body"]) == (None, ["a.ocr.txt"])
    assert image_bytes(tmp_path, row) == [b"a.rgb.png"]


def test_caption_from_json(tmp_path: Path) -> None:
    files = [("a.jpg", b"x"), ("a.json", b'{"caption": "from json", "alt": "an alt"}')]
    row = row_of(tmp_path, files)
    assert (row["text_body"], row["image_alt"], row["meta"]) == (["from json"], ["an alt"], None)
    row = row_of(tmp_path, [*files, ("a.txt", b"from txt")])
    assert (row["text_body"], row["meta"]) == (["from txt"], '{"caption":"from json"}')
    assert row_of(tmp_path, [*files, ("a.txt", b"from json")])["meta"] is None  # said once, kept once
    row = row_of(tmp_path, [*files, ("a.txt", b"from txt")], caption="caption")
    assert row["text_body"] == ["from json"]


@pytest.mark.parametrize(
    ("suffix", "body", "drop", "text"),
    [
        ("txt", b"caf\xe9", "read:not_utf8", "caf\ufffd"),
        ("txt", ("ü" * 40).encode(), "read:text_too_large", "ü" * 30),
        ("txt", b"\xef\xbb\xbfbom", None, "bom"),
        ("json", b'{"caption": "\\ud800 x"}', "read:not_utf8", "\ufffd x"),
        ("json", b'{"caption":"%s"}' % (b"\\n" * 20), None, "\n" * 20),
    ],
)
def test_text_troubles(tmp_path: Path, suffix: str, body: bytes, drop: str | None, text: str) -> None:
    row = row_of(tmp_path, [("a.jpg", b"x"), (f"a.{suffix}", body)], max_text_bytes=61)
    assert (row["text_drop"], row["text_body"], row["drop"]) == ([drop], [text], None)


def test_large_json(tmp_path: Path) -> None:
    files = [("a.jpg", b"x"), ("a.json", json.dumps({"caption": "c" * 70}).encode())]
    assert row_of(tmp_path, files, max_text_bytes=61)["drop"] == "read:bad_json"
    assert row_of(tmp_path, files, max_text_bytes=90)["text_body"] == ["c" * 70]


DEEP = [b"[" * 100_000, b'{"a":' * 100_000]


@pytest.mark.parametrize(
    "body", [b"{", b"[1]", b"\xff\xfe", b"1" * 9999, b'{"a": %s}' % (b"9" * 5000), *DEEP]
)
def test_unparsed_json_is_kept_and_kills_nobody(tmp_path: Path, body: bytes) -> None:
    row = row_of(tmp_path, [*named("a.jpg a.txt"), ("a.json", body)])
    assert row["drop"] is None
    meta = json.loads(row["meta"])
    assert meta == {"unparsed": body[:2000].decode("utf-8", "replace")}


def test_meta_is_json_whatever_the_source_has(tmp_path: Path) -> None:
    body = b'{"a": NaN, "b": 1e999, "c": "NaN \\udc00", "d": [-Infinity, 1.5], "opt_out": "ai", "url": 3}'
    row = row_of(tmp_path, [*named("a.jpg a.txt"), ("a.json", body)])
    kept = json.loads(row["meta"], parse_constant=pytest.fail)
    assert kept == {"a": None, "b": None, "c": "NaN \ufffd", "d": [None, 1.5], "opt_out": "ai", "url": 3}
    assert (row["opt_out"], row["image_url"]) == (None, [None])


def test_deep_json_at_the_limit_of_recursion(tmp_path: Path) -> None:
    for depth in range(900, 1000, 7):  # parsed, but too deep to be written again
        body = b'{"a":' + b"[" * depth + b"1e999" + b"]" * depth + b"}"
        row = row_of(tmp_path, [*named("a.jpg a.txt"), ("a.json", body)])
        assert json.loads(row["meta"])


def test_objects(tmp_path: Path) -> None:
    raw = [
        {"label": "cat", "box": [1, 2, 3.5, 4], "attributes": ["grey", 3]},
        {"class": "cup", "bbox": [0, 0, 1, 1], "color": "red", "size": "small"},
        {"label": "no box"},
    ]
    boxes = [[5, 0, 1, 1], [0, 5, 1, 1], [0, 0, "1", 1], [0, 0, 1], {}]
    bad = [7, {"box": [0, 0, 1, 1]}, *({"label": "x", "box": box} for box in boxes)]

    def objects(found: object) -> Row:
        files = [*named("a.jpg a.txt"), ("a.json", json.dumps({"objs": found}).encode())]
        return row_of(tmp_path, files, fields={"objects": "objs"})

    row = objects(raw)
    assert row["image_objects"] == [
        [
            {"label": "cat", "box": [1.0, 2.0, 3.5, 4.0], "attributes": ["grey"]},
            {"label": "cup", "box": [0.0, 0.0, 1.0, 1.0], "attributes": ["red", "small"]},
            {"label": "no box", "box": None, "attributes": []},
        ]
    ]
    assert row["meta"] is None
    row = objects(raw[:1] + bad)
    assert len(row["image_objects"][0]) == 1
    assert json.loads(row["meta"]) == {"objs": raw[:1] + bad}  # what the column cannot hold is not lost


def test_columns_depend_on_the_configuration_only(tmp_path: Path) -> None:
    assert read(tmp_path, tar_bytes(named("a.jpg a.txt"))).schema == read(tmp_path, tar_bytes(PAIR)).schema
    off = {"image_url": (), "image_alt": (), "licence": (), "language": (), "opt_out": (), "objects": "o"}
    few = read(tmp_path, tar_bytes(PAIR), fields=off)
    assert set(few.column_names) - set(sample.BASE.names) == {"image_objects"}


def test_dots_in_names(tmp_path: Path) -> None:
    files = named("v1.2/img_1.5_3.jpg v1.2/img_1.5_3.txt v1.2/img_1.5_4.jpg v1.2/img_1.5_4.txt")
    row = row_of(tmp_path, files[:2])
    assert (row["drop"], row["source"]) == (None, "00000.tar#v1.2/img_1@0")
    assert row_of(tmp_path, files)["drop"] == "read:several_images"
    rows = rows_of(tmp_path, tar_bytes(files), keys="last_dot")
    sources = ["00000.tar#v1.2/img_1.5_3@0", "00000.tar#v1.2/img_1.5_4@2048"]
    assert [(r["drop"], r["source"]) for r in rows] == [(None, source) for source in sources]


def test_what_is_no_member(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("a.jpg", tarfile.SYMTYPE), ("b", tarfile.DIRTYPE), ("c.txt", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", 9999  # a size without a body
            archive.addfile(info)
        for name, body in named(".hidden.jpg README __meta__/x.jpg k.jpg __between__ k.txt ../../up.jpg"):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    rows = rows_of(tmp_path, buffer.getvalue())
    assert [(r["layout"], r["source"].split("@")[0]) for r in rows] == [
        ("it", "00000.tar#k"),
        ("i", "00000.tar#../../up"),
    ]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names(tmp_path: Path, form: int) -> None:
    stem = "ordner/" + "ü" * 90 + "/" + "k" * 90
    rows = rows_of(tmp_path, tar_bytes([(f"{stem}.jpg", b"12345"), (f"{stem}.txt", b"t")], form))
    assert [(r["layout"], r["source"]) for r in rows] == [("it", f"00000.tar#{stem}@0")]
    assert image_bytes(tmp_path, rows[0]) == [b"12345"]
    archive = tar_bytes([("caf\udce9.jpg", b"x"), ("caf\udce9.txt", b"t")], tarfile.GNU_FORMAT)
    assert rows_of(tmp_path, archive)[0]["source"] == "00000.tar#caf\\xe9@0"


def test_ustar_prefix_and_sparse_and_base256(tmp_path: Path) -> None:
    name = "d" * 60 + "/" + "e" * 60 + "/f.jpg"
    archive = bytearray(tar_bytes([(name, b"x"), (name[:-4] + ".txt", b"t"), ("s.jpg", b"sparse"), *PAIR]))
    archive[2048 + 156 : 2048 + 157] = b"S"
    archive[3072 + 124 : 3072 + 136] = b"\x80" + (8).to_bytes(11, "big")
    for header in (2048, 3072):
        checksum(archive, header)
    rows = rows_of(tmp_path, bytes(archive))
    assert [r["source"] for r in rows] == [f"00000.tar#{name[:-4]}@0", "00000.tar#000000001@3072"]
    assert image_bytes(tmp_path, rows[1]) == [b"\xff\xd8pixels"]


def checksum(archive: bytearray, header: int) -> None:
    archive[header + 148 : header + 156] = b" " * 8
    archive[header + 148 : header + 156] = b"%06o\0 " % sum(archive[header : header + 512])


@pytest.mark.parametrize(
    ("length", "layout", "drop", "image_drop", "text_drop"),
    [
        (512 + 4, "i", "read:cut_short", "read:cut_short", []),
        (512 + 8, "i", "read:missing_text", None, []),
        (1024 + 512 + 4, "it", None, None, ["read:cut_short"]),
        (2048 + 512 + 4, "it", "read:cut_short", None, [None]),
        (2048, "it", None, None, [None]),
    ],
)
def test_archive_that_ends_early(
    tmp_path: Path, length: int, layout: str, drop: str | None, image_drop: str | None, text_drop: list[str]
) -> None:
    (row,) = rows_of(tmp_path, tar_bytes(PAIR)[:length])
    expected = (layout, drop, [image_drop], text_drop)
    assert (row["layout"], row["drop"], row["image_drop"], row["text_drop"]) == expected
    assert row["image_ref"] == [f"00000.tar#bytes=512+{min(8, length - 512)}"]


FORGED = b"X" + tar_bytes(named("a.jpg"))[1:512]  # a header with the checksum of another
SPARSE = bytearray(tar_bytes(named("a.jpg"))[:512])  # the map of a sparse file that should go on
SPARSE[156], SPARSE[482] = 0x53, 1
checksum(SPARSE, 0)


@pytest.mark.parametrize("garbage", [b"no tar", b"z" * 5000, b"x" * 512, b"0" * 511, FORGED, bytes(SPARSE)])
def test_garbage(tmp_path: Path, garbage: bytes) -> None:
    (row,) = rows_of(tmp_path, garbage)
    assert (row["layout"], row["drop"], row["source"]) == ("", "read:unreadable_archive", "00000.tar@0")
    good = tar_bytes(PAIR)[: 3 * 1024]
    rows = rows_of(tmp_path, good + garbage, part_rows=1)
    assert [(r["drop"], r["source"]) for r in rows] == [
        (None, "00000.tar#000000001@0"),
        ("read:unreadable_archive", "00000.tar@3072"),
    ]


@pytest.mark.parametrize("size", [2**62, 2**87])
@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"V"])
def test_headers_that_lie_about_sizes(tmp_path: Path, kind: bytes, size: int) -> None:
    archive = bytearray(tar_bytes(PAIR))
    archive[156:157] = kind
    archive[124:136] = b"\x80" + size.to_bytes(11, "big")
    checksum(archive, 0)
    (row,) = rows_of(tmp_path, bytes(archive))
    assert row["drop"] == ("read:cut_short" if kind == b"0" else "read:unreadable_archive")


def test_large_members_enter_the_id_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for held in (1 << 20, 4):
        monkeypatch.setattr(tar, "HELD", held)
        files = [("a.jpg", b"12345678"), ("a.txt", b"t")]
        row = row_of(tmp_path, files)
        assert image_bytes(tmp_path, row) == [b"12345678"]
        assert row_of(tmp_path, [("a.jpg", b"12345679"), files[1]])["sample_id"] != row["sample_id"]
        ids.append(row["sample_id"])
    assert ids[0] != ids[1]


def test_compressed_archives_are_refused_at_plan_time(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz"):
        pass
    (tmp_path / "b.tar").write_bytes(tar_bytes(PAIR))
    storage = LocalStorage(tmp_path)
    reader = ReadWebdataset(path=("x",), id="read")
    with pytest.raises(RecipeError, match=r"a\.tar is compressed \(gzip\)"):
        reader.check(storage, [storage.stat("a.tar")])
    reader.check(storage, [storage.stat("b.tar")])
    reader.check(storage, [])


# -- properties ---------------------------------------------------------------------------------------------

STEMS = st.sampled_from(["a", "b", "d/a", "d.e/a", "d/.a", ".a", "__m__/a", "__m__", "a/", "./b", "ü", "a\n"])
SUFFIXES = st.sampled_from(["", ".jpg", ".JPG", ".txt", ".json", ".x.png", ".npy", ".", ".txt\n"])
MEMBERS = st.lists(st.tuples(st.builds(str.__add__, STEMS, SUFFIXES), st.binary(max_size=700)), max_size=12)
FORMS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(MEMBERS, FORMS)
def test_grouping_is_webdatasets(members: Files, form: int) -> None:
    archive = tar_bytes(members, form)
    source = [{"url": "x", "stream": io.BytesIO(archive)}]
    expected, duplicates = [], []

    def note(problem: Exception) -> bool:
        duplicates.append(str(problem))
        return True

    for found in group_by_keys(tar_file_expander(source), handler=note):
        fields = {k: v for k, v in found.items() if not k.startswith("__")}
        expected.append((found["__key__"], fields))
    ours, repeated = [], 0
    for group in tar.groups(io.BytesIO(archive), 0, len(archive), bodies=True):
        fields = {}
        for entry in group.entries:
            repeated += entry.suffix in fields
            fields.setdefault(entry.suffix, entry.body)
            assert archive[entry.data : entry.data + entry.size] == entry.body
        ours.append((group.key, fields))
    assert ours == expected
    assert repeated == len(duplicates)


@quick
@given(MEMBERS, FORMS, st.integers(1, 5), st.integers(0, 12_000), st.binary(max_size=600))
def test_rows_do_not_depend_on_the_cut(
    tmp_path: Path, members: Files, form: int, part_rows: int, end: int, tail: bytes
) -> None:
    archive = tar_bytes(members, form)[:end] + tail
    assert read(tmp_path, archive, part_rows=part_rows).equals(read(tmp_path, archive))


@quick
@given(MEMBERS, st.data())
def test_flipped_bytes_raise_nothing(tmp_path: Path, members: Files, data: st.DataObject) -> None:
    archive = bytearray(tar_bytes(members, tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        header = 512 * data.draw(st.integers(0, len(archive) // 512 - 1))
        place, value = data.draw(st.integers(0, 511)), data.draw(st.integers(0, 255))
        archive[header + place] = value
        if data.draw(st.booleans()):
            checksum(archive, header)
    read(tmp_path, bytes(archive))


BODIES = st.tuples(st.binary(max_size=900), st.text(max_size=20))


@quick
@given(st.dictionaries(st.text("abcde", min_size=1, max_size=4), BODIES), st.integers(1, 6), st.booleans())
def test_ids_survive_resharding(
    tmp_path: Path, pairs: dict[str, tuple[bytes, str]], per_shard: int, text_first: bool
) -> None:
    def files(keys: list[str], reverse: bool) -> Files:
        found = [[(f"{k}.jpg", pairs[k][0]), (f"{k}.txt", pairs[k][1].encode())] for k in keys]
        return [member for two in found for member in (reversed(two) if reverse else two)]

    one = rows_of(tmp_path, tar_bytes(files(sorted(pairs), False)))
    many: list[Row] = []
    for i in range(0, len(pairs), per_shard):
        keys = sorted(pairs, reverse=True)[i : i + per_shard]
        rows = rows_of(tmp_path, tar_bytes(files(keys, text_first), tarfile.PAX_FORMAT), name=f"s{i}.tar")
        assert [image_bytes(tmp_path, row) for row in rows] == [[pairs[k][0]] for k in keys]
        many += rows
    assert {r["sample_id"]: r["text_body"] for r in one} == {r["sample_id"]: r["text_body"] for r in many}
    assert len({r["sample_id"] for r in one}) == len(pairs)


def test_signed_checksums_of_old_tars(tmp_path: Path) -> None:
    archive = bytearray(tar_bytes([("\udcff.jpg", b"x"), ("\udcff.txt", b"t")], tarfile.GNU_FORMAT))
    for header in (0, 1024):
        archive[header + 148 : header + 156] = b" " * 8
        signed = sum(struct.unpack("512b", archive[header : header + 512]))
        archive[header + 148 : header + 156] = b"%06o\0 " % signed
    assert rows_of(tmp_path, bytes(archive))[0]["layout"] == "it"
