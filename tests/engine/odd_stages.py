"""Stages that exist for tests only: cheap ones, and ones that break every rule a stage can break."""

from __future__ import annotations

import os
import re
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from counting_stage import Common

from curate import sample
from curate.linked import Linked, Prepared
from curate.sample import Level, single
from curate.stage import BYTES, Arrays, Born, Expand, Heavy, Map, Model, Op, Out, Place, Rank, Store


class Letters(Map):
    """Length of a text: something that is kept and costs nothing."""

    stage: Literal["letters"] = "letters"
    level: ClassVar[Level] = "text"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([("text_letters", pa.int32())])

    def totals(self) -> frozenset[str]:
        return frozenset({"text_letters"})

    tallies = totals

    def open(self) -> Op:
        return lambda t: Out({"text_letters": pc.utf8_length(single(t["text_body"])).cast(pa.int32())})


class Story(Map):
    """Sample level, kept, and sees the living items of its sample: what it says depends on earlier drops."""

    stage: Literal["story"] = "story"
    level: ClassVar[Level] = "sample"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body", "image_ref"})

    def writes(self) -> pa.Schema:
        return pa.schema([("story", pa.string())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            rows = zip(table["text_body"].to_pylist(), table["image_ref"].to_pylist(), strict=True)
            told = [f"{len(texts)} texts, {len(images)} images" for texts, images in rows]
            return Out({"story": pa.array(told, pa.string())})

        return op


class Moody(Map):
    """Misbehaves on texts that hold `on`."""

    stage: Literal["moody"] = "moody"
    level: ClassVar[Level] = "text"
    column: ClassVar[str] = "text_body"

    how: str
    on: str = "BAD"
    world: str = ""  # a file: while it is there, `how: defer` gets its answer

    def reads(self) -> frozenset[str]:
        return frozenset({self.column})

    def writes(self) -> pa.Schema:
        return pa.schema([(f"{self.level}_mood", pa.string())])

    def reasons(self) -> frozenset[str]:
        return frozenset({"sad", "deferred"})

    def open(self) -> Op:
        return self._answer

    def _answer(self, table: pa.Table) -> Out:
        values = table[self.column].to_pylist()
        bad = np.array([self.on in (v or "") for v in values], dtype=bool)
        drop = [None] * len(values)
        if bad.any():
            _misbehave(self.how)
            if self.how == "undeclared_reason":
                drop = ["grumpy"] * len(values)
            elif self.how == "drop":
                drop = ["sad" if b else None for b in bad]
            elif self.how == "defer" and not Path(self.world).exists():
                drop = ["deferred" if b else None for b in bad]
        moods: Any = pa.array([f"{len(v or '')} of mood" for v in values], pa.string())
        if self.how == "wrong_length":
            moods = moods.slice(1)
        elif self.how == "wrong_type":
            moods = pa.array(range(len(values)))
        columns = {f"{self.level}_mood": moods}
        if self.how == "undeclared_column":
            columns["text_more"] = moods
        return Out(columns, pa.array(drop, pa.string()))


class MoodyImage(Moody):
    """The same for images, by their bytes: `on` is a hexadecimal string that the file holds."""

    stage: Literal["moody_image"] = "moody_image"  # type: ignore[assignment]
    level: ClassVar[Level] = "image"
    column: ClassVar[str] = BYTES

    def _answer(self, table: pa.Table) -> Out:
        held = [None if b is None else b.hex() for b in table[BYTES].to_pylist()]
        return super()._answer(pa.table({BYTES: pa.array(held, pa.string())}))


def _misbehave(how: str) -> None:
    if how == "value":
        raise ValueError("a bad row")
    if how == "type":
        raise TypeError("a bug of ours")
    if how == "import":
        import a_module_that_is_not_there  # noqa: F401  # type: ignore[import-not-found]
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


class Halves(Expand):
    """Each image of a sample as a pair with its first text; wrong in the way `how` says."""

    stage: Literal["halves"] = "halves"

    how: str = ""

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body", "image_ref", "image_index"})

    def reasons(self) -> frozenset[str]:
        return frozenset({"childless"})

    def open(self) -> Callable[[pa.Table], Born]:
        return self._expand

    def _expand(self, table: pa.Table) -> Born:
        texts = [t[0] if t else "" for t in table["text_body"].to_pylist()]
        counts = pc.list_value_length(single(table["image_ref"])).to_numpy()
        parent = np.repeat(np.arange(len(counts)), counts)
        ordinal = sample.flat(table["image_index"]).cast(pa.int64())
        one = np.ones(len(parent), dtype=np.int64)
        children = {
            "layout": pa.array(["it"] * len(parent), pa.string()),
            "image_ref": sample.wrap(sample.flat(table["image_ref"]), one),
            "text_body": sample.wrap(pa.array([texts[p] for p in parent], pa.string()), one),
        }
        drop: list[str | None] = [None if n else "childless" for n in counts]
        if self.how == "value" and any("BAD" in t for t in texts):
            raise ValueError("a bad parent")
        if self.how == "undeclared_column":
            children["surprise"] = pa.array(parent)
        elif self.how == "wrong_type":
            children["layout"] = pa.array(parent)
        elif self.how == "undeclared_reason":
            drop[0] = "grumpy"
        elif self.how == "silent":
            keep = parent != 0
            children = {n: a.filter(pa.array(keep)) for n, a in children.items()}
            parent, ordinal = parent[keep], ordinal.filter(pa.array(keep))
        elif self.how == "same_ordinal":
            ordinal = pa.array(np.zeros(len(parent), dtype=np.int64))
        return Born(pa.table(children), pa.array(parent), ordinal, pa.array(drop, pa.string()))


class Kin(Linked):
    """Texts that share an @word and whose numbers lie at most `reach` apart are of one kind.

    The best of a component survives; who is not verified against a survivor is elected again.
    """

    stage: Literal["linked"] = "linked"

    reach: int = 1
    how: str = ""

    def level_(self) -> Level:
        return "text"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body", "sample_id"})

    def writes(self) -> pa.Schema:
        return pa.schema([("text_kin", pa.string()), ("text_kin_size", pa.int32())])

    def reasons(self) -> frozenset[str]:
        return frozenset({"kin"})

    def rank(self) -> tuple[Rank, ...]:
        return (Rank("text_letters"),)

    def signature(self) -> pa.Schema:
        return pa.schema([("twin", pa.uint64()), ("number", pa.int64()), ("words", pa.list_(pa.string()))])

    def carried(self) -> pa.Schema:
        return pa.schema([("number", pa.int64())])

    def prepare(self, items: pa.Table, fitted: Arrays) -> Prepared:
        if self.how == "keys":
            raise ValueError("no key for that")
        texts = items["text_body"].to_pylist()
        words = [sorted(set(re.findall(r"@\w+", t))) for t in texts]
        numbers = [int(re.search(r"\d+", t).group()) for t in texts]  # type: ignore[union-attr]
        twins = [zlib.crc32(repr(both).encode()) for both in zip(words, numbers, strict=True)]
        keys = [[zlib.crc32(w.encode()) for w in of] for of in words]
        columns = {"twin": twins, "number": numbers, "words": words}
        return Prepared(pa.table(columns, schema=self.signature()), pa.array(keys, pa.list_(pa.uint64())))

    def link(self, bucket: pa.Table) -> Iterator[pa.Table]:
        if self.how == "link":
            raise KeyError("no link")
        keys = bucket["key"].to_pylist()
        rows = range(len(keys))
        near = [(i, j) for i in rows for j in rows[i + 1 :] if keys[i] == keys[j]]
        for left, right in near:
            yield pa.table({"left": pa.array([left], pa.int64()), "right": pa.array([right], pa.int64())})

    def verify(self, left: pa.Table, right: pa.Table) -> pa.Array:
        if self.how == "verify":
            raise TypeError("no proof")
        apart = np.abs(left["number"].to_numpy() - right["number"].to_numpy())
        near = np.where(apart <= self.reach, 1 / (1 + apart), np.nan)
        return pa.array(near, pa.float32(), from_pandas=True)

    def elect(self, members: pa.Table) -> Out:
        if self.how == "elect":
            raise IndexError("no election")
        ids, leader = members["sample_id"].to_pylist(), members["leader"].to_pylist()
        kin = [ids[row] for row in leader]
        drop = ["kin" if row != place else None for place, row in enumerate(leader)]
        component = members["component"].to_numpy()
        sizes = np.bincount(component)[component] if len(component) else []
        reasons = pa.array(["grumpy"] * len(ids) if self.how == "reason" else drop, pa.string())
        columns = {"text_kin": pa.array(kin, pa.string()), "text_kin_size": pa.array(sizes, pa.int32())}
        if self.how == "columns":
            del columns["text_kin"]
        return Out(columns, reasons)


class Amend(Map):
    """Rewrites a text by adding to it, and says what it was; a text with `HUSH` in it is dropped."""

    stage: Literal["amend"] = "amend"
    level: ClassVar[Level] = "text"

    add: str
    note: str = "text_before"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([("text_body", pa.string()), (self.note, pa.string())])

    def rewrites(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def reasons(self) -> frozenset[str]:
        return frozenset({"hush"})

    def notices(self) -> frozenset[str]:
        return frozenset({f"`amend`: the word{self.add}, licensed to be added"})

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            old = single(table["text_body"])
            new = pc.binary_join_element_wise(old, self.add, "")
            hush = pc.match_substring(old, "HUSH")
            drop = pc.if_else(hush, pa.scalar("hush"), pa.scalar(None, pa.string()))
            return Out({"text_body": new, self.note: old}, drop)

        return op


class Bring(Map):
    """Brings in what lies in the folder `world` under an image's URL; what is not there is put off."""

    stage: Literal["bring"] = "bring"
    level: ClassVar[Level] = "image"
    stores: ClassVar[bool] = True

    world: str

    def reads(self) -> frozenset[str]:
        return frozenset({"image_url", "image_ref"})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_ref", pa.string())])

    def rewrites(self) -> frozenset[str]:
        return frozenset({"image_ref"})

    def reasons(self) -> frozenset[str]:
        return frozenset({"deferred.absent"})

    def open(self) -> Op:
        raise AssertionError("a stage that stores is opened with its store")

    def open_with(self, store: Store) -> Op:
        def op(table: pa.Table) -> Out:
            world = Path(self.world)
            places: list[Place | None] = []
            with store.shard() as shard:
                for url in table["image_url"].to_pylist():
                    file = world / url.rpartition("/")[2]
                    places.append(shard.add(file.read_bytes()) if file.exists() else None)
                    with (world / "asked.log").open("a") as log:
                        log.write(f"{url}\n")
                reference = shard.close()
            found = [None if place is None else reference(place) for place in places]
            drop = [None if place else "deferred.absent" for place in places]
            return Out({"image_ref": pa.array(found, pa.string())}, pa.array(drop, pa.string()))

        return op


class Weigh(Heavy):
    """Twice a text's length, by a model in the process that holds it; `log` gets its calls."""

    stage: Literal["weigh"] = "weigh"
    level: ClassVar[Level] = "text"
    batch: ClassVar[int] = 4

    log: str
    how: str = ""  # what the model does at its third call, once
    name: str = "weight"

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([(f"text_{self.name}", pa.int64())])

    def model_key(self) -> str:
        return f"scales {self.log}"

    def load(self, gpu: bool) -> Model:
        log = Path(self.log)

        def scales(arrays: Arrays) -> Arrays:
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            if self.how and len(log.read_text().split()) >= 3 and not log.with_suffix(".done").exists():
                log.with_suffix(".done").touch()
                _misbehave(self.how)
            return {"weight": 2 * arrays["length"]}

        return scales

    def open_around(self, model: Model) -> Op:
        def op(table: pa.Table) -> Out:
            lengths = pc.utf8_length(single(table["text_body"])).to_numpy()
            found = model({"length": lengths.astype(np.int64)})["weight"]
            return Out({f"text_{self.name}": pa.array(found)})

        return op


class Places(Map):
    """Of level sample, and writes of its images: the how many-th living one each is, from the end."""

    stage: Literal["places"] = "places"
    level: ClassVar[Level] = "sample"
    kept: ClassVar[bool] = False

    more: int = 0

    def reads(self) -> frozenset[str]:
        return frozenset({"image_ref"})

    def writes(self) -> pa.Schema:
        return pa.schema([("image_place", pa.int32()), ("n_places", pa.int32())])

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            counts = pc.list_value_length(single(table["image_ref"])).to_pylist()
            places = pa.array([[*range(n + self.more, 0, -1)] for n in counts], pa.list_(pa.int32()))
            return Out({"image_place": places, "n_places": pa.array(counts, pa.int32())})

        return op


STAGES = (Common, Letters, Story, Moody, MoodyImage, Halves, Kin, Amend, Bring, Weigh, Places)
