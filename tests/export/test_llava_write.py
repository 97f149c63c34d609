from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from workshop import EXTRA, Workshop, encoded, opened, picture, refusals, tree

from curate.errors import RunError
from curate.export import llava, phrasings
from curate.io.llava_write import WriteLlava

MESSAGES = pa.list_(
    pa.struct([("role", pa.string()), ("content", pa.string()), ("images", pa.list_(pa.int32()))])
)
WITH_MESSAGES = pa.schema([*EXTRA, pa.field("messages", MESSAGES)])


def said(
    *turns: str, images: tuple[tuple[int, ...], ...] = ((0,),), first: str = "user"
) -> list[dict[str, Any]]:
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [
        {"role": roles[i % 2], "content": turn, "images": list(images[i]) if i < len(images) else []}
        for i, turn in enumerate(turns)
    ]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "llava.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_a_training_set_that_no_trainer_trips_over(shop: Workshop) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    odd = [
        encoded(picture(0).transpose(Image.Transpose.ROTATE_270), "JPEG", exif=exif, quality=95),
        encoded(picture(1, mode="CMYK"), "JPEG"),
        encoded(Image.new("RGBA", (64, 48), (9, 9, 9, 0)), "PNG"),
        encoded(picture(3, mode="L"), "JPEG"),
        encoded(picture(4), "JPEG", progressive=True),
    ]
    rows = [shop.pair(i, data) for i, data in enumerate(odd)]
    rows += [
        shop.pair(5, text_body=["两个杯子放在桌子上。"]),
        shop.pair(6, text_body=["line\u2028 separator"]),
    ]
    rows += [shop.pair(7, sample_id="t"), shop.pair(8, sample_id="t"), shop.pair(9, sample_id="t#2")]
    table = shop.table(rows)
    folder, shards = shop.write(WriteLlava(), [table.slice(0, 6), table.slice(6)], "out")
    assert [(s.samples, s.images) for s in shards] == [(6, 6), (4, 4)]
    found = rows_of(folder)
    assert llava.validate(found, folder) == []
    assert [r["id"] for r in found] == [*table["sample_id"].to_pylist()[:7], "t", "t_2", "t-2"]
    assert [r["image"].rsplit("/", 1)[0] for r in found] == ["images/00000"] * 6 + ["images/00001"] * 4
    assert [r["conversations"][1]["value"] for r in found] == [t[0] for t in table["text_body"].to_pylist()]
    assert all(r["conversations"][0]["value"].startswith("<image>\n") for r in found)
    assert found[5]["conversations"][0]["value"].removeprefix("<image>\n") in phrasings.POOLS["zh"]["short"]
    assert "两个杯子".encode() in (folder / "llava.json").read_bytes()
    assert np.abs(opened((folder / found[0]["image"]).read_bytes()) - np.asarray(picture(0))).max() <= 24
    assert opened((folder / found[2]["image"]).read_bytes()).min() >= 254
    assert (folder / found[4]["image"]).read_bytes() == odd[4]


def test_the_lines_are_the_array(shop: Workshop, load_dataset: Callable[..., Any]) -> None:
    table = shop.table([shop.pair(i, text_body=[f"a\u2028b\x85 {i}\n"]) for i in range(4)])
    folder, _ = shop.write(WriteLlava(), [table.slice(0, 3), table.slice(3)], "out")
    lines = (folder / "llava.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows_of(folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        *("00000.parquet", "00001.parquet", "README.md", "images", "llava.json", "llava.jsonl")
    ]
    assert load_dataset(str(folder))["id"][:] == table["sample_id"].to_pylist()
    beside = pq.read_table(folder / "00001.parquet").to_pylist()
    assert (beside[0]["key"], beside[0]["image_width"]) == (table["sample_id"][3].as_py(), 64)


def test_finish_may_be_called_again(shop: Workshop) -> None:
    table = shop.table([shop.pair(i) for i in range(3)])
    folder, shards = shop.write(WriteLlava(), [table.slice(0, 2), table.slice(2)], "out")
    before = tree(folder)
    assert WriteLlava().finish(folder, shards) == ["llava.json", "llava.jsonl"]
    assert tree(folder) == before
    (folder / "llava.json").unlink()
    with pytest.raises(RunError, match="missing"):
        WriteLlava().finish(folder, shards)
    empty = shop.folder / "empty"
    empty.mkdir()
    WriteLlava().finish(empty, [])
    assert rows_of(empty) == []


def test_messages_are_the_conversation(shop: Workshop) -> None:
    rows = [
        shop.pair(0, messages=said("What is it?", "A cup.", "Which colour?", "Red.")),
        shop.pair(1, layout="i", text_body=[], text_quality=[], messages=said("Name it.", "杯子")),
        {
            **shop.document(2, "t", shape="document:text_only"),
            "messages": said("Define cup.", "A vessel.", images=()),
        },
        shop.pair(3, messages=None),
    ]
    table = shop.table(rows, WITH_MESSAGES)
    assert refusals(WriteLlava(), table) == [None] * 4
    folder, shards = shop.write(WriteLlava(), [table], "out")
    assert (shards[0].samples, shards[0].images) == (4, 3)
    found = rows_of(folder)
    assert llava.validate(found, folder) == []
    assert found[0]["conversations"] == [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A cup."},
        {"from": "human", "value": "Which colour?"},
        {"from": "gpt", "value": "Red."},
    ]
    assert found[1]["conversations"][1]["value"] == "杯子"
    assert "image" not in found[2]
    beside = pq.read_table(folder / "00000.parquet")
    texts = ["a picture of number 0", None, "paragraph 0 of 2", "a picture of number 3"]
    assert beside["text_body"].to_pylist() == texts
    assert beside["image_width"].to_pylist() == [64, 64, None, 64]
    assert found[3]["conversations"][1]["value"] == "a picture of number 3"


def test_admission(shop: Workshop) -> None:
    cases: list[tuple[str | None, dict[str, Any]]] = [
        (None, shop.pair(0)),
        ("no_text", shop.pair(1, text_body=["  "])),
        ("reserved_token", shop.pair(2, text_body=["see <image> here"])),
        ("reserved_token", shop.pair(3, text_body=["ends in ASSISTANT:"])),
        ("image_too_small", shop.pair(4, image_width=[27])),
        ("extreme_ratio", shop.pair(5, image_width=[28 * 201], image_height=[28])),
        (None, shop.pair(6, image_width=[28 * 200], image_height=[28])),
        (None, shop.pair(7, image_width=[None])),
        ("image_too_small", shop.pair(18, image_width=[None], image_height=[27])),
        ("not_a_pair", shop.document(19, "tit")),
        ("not_a_pair", shop.document(8, "titti")),
        (None, shop.document(9, "titti", image_drop=["a:b", None], text_drop=["a:b", None, "a:b"])),
        ("no_image", shop.document(10, "t")),
        ("bad_roles", shop.pair(11, messages=said("Hi.", "Hello.", first="assistant"))),
        ("bad_roles", shop.pair(12, messages=said("Hi."))),
        (
            "bad_roles",
            shop.pair(13, messages=[{"role": "system", "content": "Be.", "images": []}, *said("a", "b")]),
        ),
        ("no_text", shop.pair(14, messages=said("Hi.", ""))),
        ("reserved_token", shop.pair(15, messages=said("Hi.", "<|im_end|>"))),
        ("late_image", shop.pair(16, messages=said("a", "b", "c", "d", images=((), (), (0,))))),
        ("no_image", {**shop.document(17, "t"), "messages": said("a", "b")}),
    ]
    table = shop.table([row for _, row in cases], WITH_MESSAGES)
    assert refusals(WriteLlava(), table) == [reason for reason, _ in cases]


def test_admission_demands_no_column_that_a_recipe_may_lack(shop: Workshop) -> None:
    assert WriteLlava().admission().reads() == {"layout", "sample_id", "text_body"}
    table = shop.table([shop.pair(0)]).select(
        ["layout", "sample_id", "text_body", "drop", "image_drop", "text_drop"]
    )
    assert refusals(WriteLlava(), table) == [None]


def test_bytes_follow_from_rows_and_seed(shop: Workshop) -> None:
    rows = [shop.pair(i) for i in range(12)]
    first, _ = shop.write(WriteLlava(), [shop.table(rows)], "a")
    chunks = pa.concat_tables([shop.table(rows[:5]), shop.table([{**r, "source": "x"} for r in rows[5:]])])
    again, _ = shop.write(WriteLlava(), [chunks], "b")
    names = [n for n in tree(first) if n != "README.md"]
    assert [tree(first)[n] for n in names] == [tree(again)[n] for n in names]
    seeded, _ = shop.write(WriteLlava(seed=1), [shop.table(rows)], "c")
    questions = [[r["conversations"][0]["value"] for r in rows_of(f)] for f in (first, seeded)]
    assert questions[0] != questions[1]
    assert len(set(questions[0])) > 3


def test_what_is_no_image_stops_the_run_and_is_named(shop: Workshop) -> None:
    table = shop.table([shop.pair(1, b"<html>404 not found</html>")])
    with pytest.raises(RunError, match=rf"sample {table['sample_id'][0].as_py()}: .*cannot be written"):
        shop.write(WriteLlava(), [table], "out")
