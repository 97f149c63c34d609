"""Images with a caption file beside each: kinds of captions, what each trouble is called, stable parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import sample
from curate.errors import RecipeError
from curate.io import captions, captions_svg
from curate.io.folder import MOST, ReadFolder
from curate.io.payload import Payload
from curate.io.source import Part
from curate.io.storage import LocalStorage, SourceFile


def node(**config: object) -> ReadFolder:
    return ReadFolder.model_validate({"path": "x", "id": "read", "name": "ds", **config})


def read(folder: Path, files: Mapping[str, bytes | str], **config: object) -> list[dict[str, Any]]:
    """Write the files, read the folder, by `source`."""
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body.encode() if isinstance(body, str) else body)
    storage = LocalStorage(folder)
    reader = node(**config)
    found = storage.find("**/*")
    tables = [reader.rows(storage, p) for group in reader.group(found) for p in reader.split(storage, group)]
    table = pa.concat_tables(tables).combine_chunks()
    sample.check(table)
    reasons = set(table["drop"].to_pylist())
    for level in ("image_drop", "text_drop"):
        reasons |= {reason for row in table[level].to_pylist() for reason in row}
    assert reasons - {None} <= {f"read:{r}" for r in reader.reasons()}
    return table.sort_by("source").to_pylist()


def fates(rows: list[dict[str, Any]]) -> dict[str, str | None]:
    """What became of each sample, as `settle` would have it of a pair."""
    every = {r["source"]: [r["drop"], *r["image_drop"], *r["text_drop"]] for r in rows}
    return {
        source: next((d.removeprefix("read:") for d in drops if d), None) for source, drops in every.items()
    }


def svg(work: str, head: str = '<?xml version="1.0"?>', tail: str = "<g/>") -> str:
    return (
        f'{head}<svg xmlns="http://www.w3.org/2000/svg"><metadata>'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://web.resource.org/cc/">'
        f'<cc:Work rdf:about="">{work}</cc:Work></rdf:RDF></metadata>{tail}</svg>'
    )


WORK = """<!-- of a work --><dc:title/><dc:title>A  frog</dc:title><dc:title>Other</dc:title>
  <dc:description> Green,
  <!-- hidden --> on a leaf </dc:description><dc:subject><rdf:Bag><rdf:li>animal</rdf:li><rdf:li/>
  <rdf:li>pond</rdf:li></rdf:Bag></dc:subject><dc:creator><cc:Agent><dc:title>Ann</dc:title></cc:Agent>
  </dc:creator><dc:language>EN_us</dc:language><cc:license rdf:resource="http://cc/PublicDomain"/>"""


def test_a_text_file_is_the_caption(tmp_path: Path) -> None:
    files = {
        "a/one.png": b"1",
        "a/one.txt": "\ufeff A frog.\nIt sits.\n",
        "b #1.JPG": b"2",
        "b #1.TXT": "Een kikker.",
        "notes.md": "no sample",
        "sound.ogg": b"",
    }
    one, two = read(tmp_path, files, language="nl")
    assert (one["source"], one["layout"], one["text_body"]) == ("a/one.png", "it", ["A frog.\nIt sits."])
    assert (two["text_body"], two["language"], two["drop"]) == (["Een kikker."], "nl", None)
    references = one["image_ref"] + two["image_ref"]
    assert Payload({"ds": LocalStorage(tmp_path)}).fetch(["ds"] * 2, references) == [b"1", b"2"]


def test_nothing_that_is_an_image_or_a_caption_vanishes(tmp_path: Path) -> None:
    files = {
        "alone.png": b"1",
        "widow.txt": "A caption.",
        "empty.png": b"2",
        "empty.txt": " \n",
        "latin.png": b"3",
        "latin.txt": b"\xef\xbb\xbf" + "Ein Frosch überall".encode("latin-1"),
        "long.png": b"4",
        "long.txt": "ü" * 60,
        "huge.png": b"5",
        "huge.txt": "x" * 1001,
        "fine.png": b"6",
        "fine.txt": "words",
        "twin.png": b"7",
        "twin.jpg": b"8",
        "twin.txt": "of both",
    }
    rows = read(tmp_path, files, max_text_bytes=99, max_file_bytes=1000)
    assert fates(rows) == {
        "alone.png": "missing_caption",
        "widow.txt": "missing_image",
        "empty.png": "empty_caption",
        "latin.png": "not_utf8",
        "long.png": "text_too_large",
        "huge.png": "caption_too_large",
        "fine.png": None,
        "twin.png": None,
        "twin.jpg": None,
    }
    told = {r["source"]: r["text_body"] for r in rows}
    assert told["widow.txt"] == ["A caption."]  # of what has no image the ledger still shows the words
    assert told["long.png"] == ["ü" * 49]
    assert told["latin.png"] == ["Ein Frosch \ufffdberall"]


STAMP = "A frog.\nde.utf8=Ein Frosch.\npt_BR.utf8=Um sapo.\n\nsr@latin.utf8=Žaba.\nca@valencia.utf8=Granota\n"


def test_lines_one_sample_for_each_language(tmp_path: Path) -> None:
    files = {"a/frog.png": b"1", "a/frog.txt": STAMP, "a/lost.txt": "Gone.\nde.utf8=Weg."}
    rows = read(tmp_path, files, captions="lines", per="language", language="en")
    told = {r["source"]: (r["language"], r["text_body"][0]) for r in rows}
    assert told == {
        "a/frog.png#en": ("en", "A frog."),
        "a/frog.png#de": ("de", "Ein Frosch."),
        "a/frog.png#pt-BR": ("pt-BR", "Um sapo."),
        "a/frog.png#sr-Latn": ("sr-Latn", "Žaba."),
        "a/frog.png#ca-valencia": ("ca-valencia", "Granota"),
        "a/lost.txt#en": ("en", "Gone."),
        "a/lost.txt#de": ("de", "Weg."),
    }
    assert {r["image_ref"][0] for r in rows if r["image_ref"]} == {"a/frog.png"}
    assert len({r["sample_id"] for r in rows}) == 7


def test_a_translation_more_changes_no_other_sample(tmp_path: Path) -> None:
    config = {"captions": "lines", "per": "language", "language": "en"}
    before = read(tmp_path, {"frog.png": b"1", "frog.txt": STAMP}, **config)
    after = read(tmp_path, {"frog.txt": "A frog.\nfr.utf8=Une grenouille.\n" + STAMP[8:]}, **config)
    old, new = ({r["source"]: r["sample_id"] for r in rows} for rows in (before, after))
    assert set(new) - set(old) == {"frog.png#fr"}
    assert {source: new[source] for source in old} == old


def test_lines_one_sample_for_each_image(tmp_path: Path) -> None:
    files = {"frog.png": b"1", "frog.txt": STAMP}
    (row,) = read(tmp_path, files, captions="lines", language="en")
    assert (row["language"], row["text_body"]) == ("en", ["A frog."])
    assert json.loads(row["meta"])["captions"]["sr-Latn"] == "Žaba."
    (row,) = read(tmp_path, files, captions="lines", language="en", languages=["fr", "pt-BR", "en"])
    assert (row["source"], row["language"], row["text_body"]) == ("frog.png", "pt-BR", ["Um sapo."])
    assert set(json.loads(row["meta"])["captions"]) == {"en", "de", "sr-Latn", "ca-valencia"}
    (row,) = read(tmp_path, files, captions="lines", languages=["fr"])
    assert fates([row]) == {"frog.png": "no_such_language"}


def test_lines_that_are_none(tmp_path: Path) -> None:
    broken = b"\xef\xbb\xbf\nde.utf8=\nEin Frosch\nfr.utf8=Gren\xe9\nit.utf8=Una rana\n"
    files = {"a.png": b"1", "a.txt": broken, "many.png": b"2", "many.txt": "x\n" * 501}
    rows = read(tmp_path, files, captions="lines", per="language", language="en")
    assert fates(rows) == {
        "a.png#en": "empty_caption",
        "a.png#de": "empty_caption",
        "a.png": "bad_line",
        "a.png#fr": "not_utf8",
        "a.png#it": None,
        "many.png": "too_many_lines",
    }
    rows = read(tmp_path, {}, captions="lines", languages=["en", "it"])
    assert fates(rows) == {"a.png": None, "many.png": "too_many_lines"}
    assert rows[0]["text_body"] == ["Una rana"]
    assert json.loads(rows[0]["meta"])["unread"] == ["Ein Frosch", "Gren\ufffd"]


def test_a_drawing_describes_itself(tmp_path: Path) -> None:
    files = {"png/x/frog.png": b"1", "svg/x/frog.svg": svg(WORK)}
    config = {"captions": "svg_rdf", "image_root": "png", "caption_root": "svg/"}
    (row,) = read(tmp_path, files, **config)
    assert (row["text_body"], row["text_source"]) == (["Green, on a leaf"], ["description"])
    assert (row["title"], row["language"], row["licence"]) == ("A frog", "en-US", "http://cc/PublicDomain")
    assert json.loads(row["meta"]) == {"creator": "Ann", "subject": ["animal", "pond"]}
    (row,) = read(tmp_path, files, **config, text=["title", "description"])
    assert (row["text_body"], row["title"]) == (["A frog"], "A frog")
    assert json.loads(row["meta"])["description"] == "Green, on a leaf"


def test_languages_are_those_that_can_be_told(tmp_path: Path) -> None:
    said = {"fr-FR": "fr-FR", "EN": "en", "English": None, "all": None, "en_GB en_US": None, "": "und"}
    for i, language in enumerate(said):
        work = f"<dc:title>T</dc:title><dc:language>{language}</dc:language>"
        (tmp_path / f"{i}.svg").write_text(svg(work))
        (tmp_path / f"{i}.png").write_bytes(b"")
    rows = read(tmp_path, {}, captions="svg_rdf", language="und")
    found = [r["language"] for r in rows]
    declared = [json.loads(r["meta"] or "{}").get("declared_language") for r in rows]
    assert found == [expected or "und" for expected in said.values()]
    assert declared == [None, None, "English", "all", "en_GB en_US", None]


LAUGHS = "<!DOCTYPE svg [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {'b' * i} '{('&' + ('b' * (i - 1) if i > 1 else 'a') + ';') * 10}'>" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("raw", "fate"),
    [
        (b"", "bad_xml"),
        (b"\x89PNG\r\n", "bad_xml"),
        (svg(WORK)[:400].encode(), "bad_xml"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no_metadata"),
        (svg(WORK).replace("cc:Work", "cc:Thing").encode(), "no_metadata"),
        (svg("<dc:title/><dc:description> </dc:description>").encode(), "empty_caption"),
        (svg("<dc:date>2004</dc:date>").encode(), "missing_text"),
        (svg(WORK, tail="<broken").encode(), None),  # what comes behind the metadata is not read
        (svg(WORK).encode("utf-16"), None),
        (b"<a>" * 5000 + svg(WORK, head="").encode() + b"</a>" * 5000, "bad_xml"),  # nested too deeply
        (b"<svg>" + b" " * captions_svg.HEAD + svg(WORK)[21:].encode(), "no_metadata"),
        (svg(WORK.replace("A  frog", "&x;"), LAUGHS + "<!ENTITY x '&bbbbbbbbb;'>]>").encode(), "bad_xml"),
        (svg(WORK + "<dc:a b='&bbbbbbbbbbb;'/>", LAUGHS + "]>").encode(), "bad_xml"),
    ],
)
def test_what_drawings_may_be(raw: bytes, fate: str | None, tmp_path: Path) -> None:
    rows = read(tmp_path, {"a.png": b"1", "a.svg": raw}, captions="svg_rdf")
    assert fates(rows) == {"a.png": fate}
    assert rows[0]["text_body"] == (
        ["Green, on a leaf"] if fate is None else [""] if fate == "empty_caption" else []
    )


def test_a_drawing_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the secret")
    for entity in (f"SYSTEM 'file://{tmp_path}/secret.txt'", "SYSTEM 'secret.txt'", "'inner'"):
        head = f"<!DOCTYPE svg [<!ENTITY x {entity}>]>"
        work = "<dc:title>&x;</dc:title><dc:description>a &x; b</dc:description>"
        (row,) = read(tmp_path, {"a.png": b"1", "a.svg": svg(work, head)}, captions="svg_rdf")
        assert "secret" not in str(row["text_body"])
        assert "secret" not in str(row["title"])


def test_records(tmp_path: Path) -> None:
    record = {"text": " A frog. ", "lang": "en", "license": "cc0", "title": "Frog", "n": [1]}
    files = {
        "a.jpg": b"1",
        "a.json": json.dumps(record),
        "b.jpg": b"2",
        "b.json": '{"caption": ',
        "c.jpg": b"3",
        "c.json": "[1]",
        "d.jpg": b"4",
        "d.json": '{"caption": 4}',
        "e.jpg": b"5",
        "e.json": '{"caption": "", "text": " "}',
        "f.jpg": b"6",
        "f.json": '{"caption": "", "text": "a \\ud800 b"}',
    }
    rows = read(tmp_path, files, captions="json")
    assert fates(rows) == {
        "a.jpg": None,
        "b.jpg": "bad_json",
        "c.jpg": "not_an_object",
        "d.jpg": "missing_text",
        "e.jpg": "empty_caption",
        "f.jpg": None,
    }
    first = rows[0]
    assert (first["text_body"], first["text_source"]) == (["A frog."], ["text"])
    assert (first["language"], first["licence"], first["title"]) == ("en", "cc0", "Frog")
    assert json.loads(first["meta"]) == {"n": [1]}
    assert json.loads(rows[3]["meta"]) == {"caption": 4}
    assert rows[5]["text_body"] == ["a \ufffd b"]


def test_names_that_are_not_text(tmp_path: Path) -> None:
    names = ("b\udcff.png", "b\udcff.txt")
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    (row,) = node().rows(LocalStorage(tmp_path), Part("p", "read", names, "", 0, 1)).to_pylist()
    assert (row["source"], row["image_drop"]) == ("b\ufffd.png", ["read:bad_name"])


@pytest.mark.parametrize(
    ("config", "names", "said"),
    [
        ({"per": "language"}, ["a.png", "a.txt"], "per: only `captions: lines`"),
        ({"languages": ["de"]}, ["a.png", "a.txt"], "languages: chooses"),
        (
            {"captions": "lines", "per": "language", "languages": ["de"]},
            ["a.png", "a.txt"],
            "languages: chooses",
        ),
        ({"suffix": ".PNG"}, ["a.png"], "suffix: files named .PNG"),
        ({}, ["a.png", "b.png"], r"path: no caption \(.txt\) among 2 files"),
        ({}, ["a.txt"], "path: no image among 1 files"),
        ({"captions": "svg_rdf"}, ["png/a.png", "svg/a.svg"], "caption_root: no image has a caption"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    config: dict[str, object], names: list[str], said: str, tmp_path: Path
) -> None:
    files = [SourceFile(name, 1, "1-1") for name in names]
    with pytest.raises(RecipeError, match=said):
        node(**config).check(LocalStorage(tmp_path), files)
    node(captions="svg_rdf", image_root="png", caption_root="svg").check(
        LocalStorage(tmp_path), [SourceFile("png/a.png", 1, "1-1"), SourceFile("svg/a.svg", 1, "1-1")]
    )


def test_an_id_is_of_image_caption_and_name(tmp_path: Path) -> None:
    files = {"a.png": b"1", "a.txt": "one", "b.png": b"1", "b.txt": "one"}
    ids = {r["sample_id"] for r in read(tmp_path, files)}
    again = {r["sample_id"] for r in read(tmp_path, {"c.png": b"1"})}
    assert len(ids) == 2
    assert ids < again  # what else lies in the folder does not matter
    for change in ({"a.png": b"2"}, {"a.txt": "two"}):
        changed = {r["sample_id"] for r in read(tmp_path, {**files, **change})}
        assert len(changed & ids) == 1


def test_parts_are_neither_small_nor_large() -> None:
    files = [SourceFile(f"{n}.{suffix}", 1, "1-1") for n in range(9000) for suffix in ("png", "txt")]
    for config, mean in (({}, 256), ({"captions": "lines", "per": "language"}, 16)):
        sizes = [len(group) // 2 for group in node(**config).group(files)]
        assert mean / 2 < 9000 / len(sizes) < mean * 1.5
        assert max(sizes) <= 4 * mean
    assert max(len(group) for group in node(part_rows=30).group(files)) == 60


@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=600), st.integers(0, 10_000))
def test_a_new_image_changes_few_parts(names: set[int], added: int) -> None:
    def files(numbers: set[int]) -> list[SourceFile]:
        return [SourceFile(f"d/{n:05d}.{s}", 1, "1-1") for n in numbers for s in ("png", "txt")]

    for config in ({}, {"captions": "lines", "per": "language"}):
        reader = node(**config)
        cut = reader.group(files(names))
        assert sorted(f.path for group in cut for f in group) == sorted(f.path for f in files(names))
        assert all(len(group) <= 2 * MOST for group in cut)
        assert cut == reader.group(files(names)[::-1])
        before = {tuple(f.path for f in group) for group in cut}
        after = {tuple(f.path for f in group) for group in reader.group(files(names | {added}))}
        if not config:  # no part is full here: what is cut by the names alone stays as it is
            assert len(after - before) <= 2
        for group in after:
            assert {p[:-4] + ".txt" for p in group} <= set(group)  # no image is parted from its caption


def test_a_changed_caption_is_a_changed_part(tmp_path: Path) -> None:
    read(tmp_path, {"a.png": b"1", "a.txt": "one"})
    storage = LocalStorage(tmp_path)
    (before,) = node().split(storage, storage.find("**/*"))
    (tmp_path / "a.txt").write_text("another")
    (after,) = node().split(storage, storage.find("**/*"))
    assert before.identity != after.identity


@given(st.binary(max_size=300))
def test_no_bytes_raise(raw: bytes) -> None:
    for kind in captions.KINDS:
        found = captions.read(kind, raw, "", ("caption",)).found
        assert found
        assert all(caption.reason in captions.REASONS | {""} for caption in found)
        assert all(caption.body for caption in found if not caption.reason)
