"""WebDataset's grouping, what becomes of damaged archives, ids that survive resharding."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tars import PAIR, Files, Row, checksum, image_bytes, named, read, row_of, rows_of, tar_bytes
from webdataset.tariterators import group_by_keys, tar_file_expander

from curate.errors import RecipeError
from curate.io import tar
from curate.io.storage import LocalStorage
from curate.io.webdataset import ReadWebdataset


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
