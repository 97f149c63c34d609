"""What the engine may rely on, for every stage in every configuration of `generated.EXAMPLES`."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from generated import EXAMPLES, configured, flat_table, items_of, members, name_of
from pydantic import ValidationError

from curate.linked import Linked, Prepared
from curate.sample import SPAN, level_of
from curate.stage import TRANSIENT, Born, Expand, Group, Map, Out, Stage
from stages import STAGES

ROWS = 40


def label(stage: Stage) -> str:
    return f"{name_of(type(stage))}{[s for s in configured() if type(s) is type(stage)].index(stage)}"


def every(kind: type[Stage], but: tuple[type[Stage], ...] = ()) -> Any:
    chosen = [s for s in configured() if isinstance(s, kind) and not isinstance(s, but)]
    return pytest.mark.parametrize("stage", chosen, ids=[label(s) for s in chosen])


def parts() -> Any:
    """A Map once for each of its levels."""
    chosen = [(level, part) for s in configured() if isinstance(s, Map) for level, part in s.by_level()]
    names = [f"{type(part).__name__}-{level}-{i}" for i, (level, part) in enumerate(chosen)]
    return pytest.mark.parametrize(("level", "stage"), chosen, ids=names)


def shown(table: pa.Table) -> str:
    """A table's content as text: unlike Arrow's own equality it finds NaN equal to NaN."""
    return repr((table.schema, table.to_pydict()))


def joined(arrays: list[pa.Array]) -> list[Any]:
    return [value for array in arrays for value in array.to_pylist()]


@parts()
def test_scores_are_numbers_that_it_writes(level: str, stage: Map) -> None:
    written = stage.writes()
    for name in stage.scores():
        assert pa.types.is_integer(written.field(name).type) or pa.types.is_floating(written.field(name).type)


# -- the configuration --


@pytest.mark.parametrize("cls", STAGES, ids=name_of)
def test_class(cls: type[Stage]) -> None:
    assert issubclass(cls, (Map, Expand, Group))
    assert cls.__module__.rsplit(".", 1)[-1] == name_of(cls), "the file has the stage's name"
    first = (cls.__doc__ or "").split("\n")[0]
    assert 20 <= len(first) <= 110, "the docstring's first line says what the stage measures"
    assert first.endswith((".", ":"))


def test_names_are_unique_and_examples_have_stages() -> None:
    names = [name_of(cls) for cls in STAGES]
    assert len(set(names)) == len(names)
    assert set(EXAMPLES) <= set(names)


@every(Stage)
def test_configuration(stage: Stage) -> None:
    cls = type(stage)
    with pytest.raises(ValidationError, match="frozen"):
        stage.id = "other"
    with pytest.raises(ValidationError, match="extra_forbidden"):
        cls.model_validate({**stage.model_dump(), "no_such_field": 1})
    assert cls.model_validate_json(stage.model_dump_json()) == stage
    assert cls.model_validate_json(stage.model_dump_json(by_alias=True)) == stage
    again = pickle.loads(pickle.dumps(stage))
    assert again == stage
    assert again.identity() == stage.identity()
    renamed = cls.model_validate({**stage.model_dump(), "id": "renamed", "from_": ["a"]})
    assert renamed.identity() == stage.identity(), "where a node stands is no part of what it computes"


@every(Stage)
def test_declarations(stage: Stage) -> None:
    rewritten = stage.rewrites() if isinstance(stage, Map) else frozenset()
    assert rewritten <= set(stage.writes().names)
    fresh = set(stage.writes().names) - rewritten
    assert not fresh & (stage.reads() | set(TRANSIENT)), "writes what it reads"
    assert all(reason and ":" not in reason for reason in stage.reasons())
    assert all(isinstance(digest, str) and len(digest) >= 16 for digest in stage.assets().values())


def test_identities_are_the_same_in_every_process() -> None:
    code = "from generated import configured; print([s.identity() for s in configured()])"
    here = os.path.dirname(__file__)
    tests = os.path.dirname(here)
    # the repository before its tests: `tests/stages` would pass for the package `stages`
    paths = (here, os.path.dirname(tests), tests)
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{[s.identity() for s in configured()]}\n"}


def test_importing_the_catalogue_is_light() -> None:
    heavy = ("PIL", "simplejpeg", "torch", "open_clip", "ray", "lxml", "pandas", "openai", "scipy")
    code = f"import sys, stages; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# -- Map --


def computed(level: Any, stage: Map, op: Callable[[pa.Table], Out], table: pa.Table) -> dict[str, pa.Array]:
    """The result, checked against what the stage declares."""
    before = shown(table)
    out = op(table)
    assert shown(table) == before, "the input was modified"
    assert set(out.columns) == set(stage.writes().names)
    columns = {name: out.columns[name] for name in stage.writes().names}
    for field in stage.writes():
        assert isinstance(columns[field.name], pa.Array), field.name
        lists = level_of(field.name) != level  # of a stage that sees samples and writes of their items
        assert columns[field.name].type == (pa.list_(field.type) if lists else field.type), field.name
        columns[field.name].validate(full=True)
    columns["<drop>"] = pa.nulls(table.num_rows, pa.string()) if out.drop is None else out.drop
    assert columns["<drop>"].type == pa.string()
    assert all(len(values) == table.num_rows for values in columns.values())
    assert set(columns["<drop>"].drop_null().to_pylist()) <= stage.reasons()
    return columns


@parts()
def test_map(level: Any, stage: Map) -> None:
    op = stage.open()
    table = flat_table(stage.reads(), level, ROWS)
    whole = {name: array.to_pylist() for name, array in computed(level, stage, op, table).items()}
    for size in (1, 7):
        pieces = [computed(level, stage, op, table.slice(i, size)) for i in range(0, ROWS, size)]
        for name, values in whole.items():
            assert repr(joined([p[name] for p in pieces])) == repr(values), f"{name} in batches of {size}"
    afresh = computed(level, stage, pickle.loads(pickle.dumps(stage)).open(), table)
    assert repr({name: array.to_pylist() for name, array in afresh.items()}) == repr(whole)


@parts()
def test_map_of_nothing(level: Any, stage: Map) -> None:
    computed(level, stage, stage.open(), flat_table(stage.reads(), level, 0))


@every(Map)
def test_levels(stage: Map) -> None:
    split = stage.by_level()
    assert [level for level, _ in split] == list(dict.fromkeys(level for level, _ in split))
    written = [name for _, part in split for name in part.writes().names]
    assert sorted(written) == sorted(stage.writes().names)
    assert {r for _, part in split for r in part.reasons()} == stage.reasons()
    made = set(written) - stage.rewrites()  # by one part, for another
    assert {c for _, part in split for c in part.reads()} - made == stage.reads()
    assert {c for _, part in split for c in part.rewrites()} == stage.rewrites()
    for level, part in split:
        spreads = level == "sample" and not part.kept
        assert spreads or all(level_of(name) == level for name in part.writes().names)
        assert part.by_level() == ((level, part),), "a part is whole"


# -- Expand --


def expanded(stage: Expand, open_: Callable[[pa.Table], Born], table: pa.Table) -> Born:
    before = shown(table)
    born = open_(table)
    assert shown(table) == before, "the input was modified"
    assert len(born.drop) == table.num_rows
    assert len(born.parent) == len(born.ordinal) == born.children.num_rows
    assert (born.parent.type, born.ordinal.type, born.drop.type) == (pa.int64(), pa.int64(), pa.string())
    assert set(born.drop.drop_null().to_pylist()) <= stage.reasons()
    parents = born.parent.to_pylist()
    assert parents == sorted(parents)
    ids = list(zip(parents, born.ordinal.to_pylist(), strict=True))
    assert len(set(ids)) == len(ids), "two children would share an id"
    barren = set(range(table.num_rows)) - set(parents)
    assert {i for i, reason in enumerate(born.drop.to_pylist()) if reason} == barren
    for field in stage.writes():
        assert born.children.schema.field(field.name).type == field.type
    layouts = born.children["layout"].to_pylist()
    for name in born.children.column_names:
        if level_of(name) != "sample":
            found = [len(values) for values in born.children[name].to_pylist()]
            assert found == [layout.count(SPAN[level_of(name)]) for layout in layouts], name
    return born


@every(Expand)
def test_expand(stage: Expand) -> None:
    op = stage.open()
    table = flat_table(stage.reads(), "sample", ROWS)
    born = expanded(stage, op, table)
    assert born.children.num_rows, "the generated table gives it something to do"
    for size in (1, 7):
        pieces = [(i, expanded(stage, op, table.slice(i, size))) for i in range(0, ROWS, size)]
        assert joined([p.children.combine_chunks() for _, p in pieces]) == born.children.to_pylist()
        assert [i + row for i, p in pieces for row in p.parent.to_pylist()] == born.parent.to_pylist()
        assert joined([p.ordinal for _, p in pieces]) == born.ordinal.to_pylist()
        assert joined([p.drop for _, p in pieces]) == born.drop.to_pylist()
    assert expanded(stage, pickle.loads(pickle.dumps(stage)).open(), table) == born


@every(Expand)
def test_expand_of_nothing(stage: Expand) -> None:
    expanded(stage, stage.open(), flat_table(stage.reads(), "sample", 0))


# -- Group --


def elected(stage: Group, table: pa.Table) -> dict[str, list[Any]]:
    before = shown(table)
    out = stage.elect(table)
    assert shown(table) == before, "the input was modified"
    assert set(out.columns) == set(stage.writes().names)
    drop = pa.nulls(table.num_rows, pa.string()) if out.drop is None else out.drop
    assert drop.type == pa.string()
    assert set(drop.drop_null().to_pylist()) <= stage.reasons()
    found = {"<drop>": drop.to_pylist()}
    for field in stage.writes():
        values = out.columns[field.name]
        assert isinstance(values, pa.Array)
        assert values.type == field.type
        found[field.name] = values.to_pylist()
    assert all(len(values) == table.num_rows for values in found.values())
    return found


@every(Group, but=(Linked,))
def test_keys(stage: Group) -> None:
    table = flat_table(stage.reads() | {"sample_id", "shape"}, stage.level_(), ROWS)
    before = shown(table)
    keys = stage.keys(table)
    assert shown(table) == before, "the input was modified"
    assert keys.type == pa.list_(pa.string())
    assert len(keys) == ROWS
    assert stage.votes or all(len(found) <= 1 for found in keys.to_pylist())
    for size in (1, 7):
        assert joined([stage.keys(table.slice(i, size)) for i in range(0, ROWS, size)]) == keys.to_pylist()
    none = stage.keys(table.slice(0, 0))
    assert (none.type, len(none)) == (keys.type, 0)
    for given, lists in ((table, keys), (table.slice(0, 0), none)):
        lots, units = stage.lots(given), stage.units(given, lists)
        assert lots is None or (lots.type, len(lots)) == (pa.float64(), given.num_rows)
        assert units is None or (units.type, len(units)) == (pa.int64(), len(lists.flatten()))


@every(Group)
def test_elect(stage: Group) -> None:
    table = members(stage, ROWS)
    whole = elected(stage, table)
    assert repr(elected(pickle.loads(pickle.dumps(stage)), table)) == repr(whole)
    assert all(level_of(n) == stage.level_() for n in stage.writes().names)
    component = table["component"].to_numpy()
    cuts = [0, *(np.flatnonzero(np.diff(component)) + 1).tolist(), table.num_rows]
    assert len(cuts) > 3, "the generated table gives it something to do"
    alone = [elected(stage, _part(table, a, b)) for a, b in pairwise(cuts)]
    for name, found in whole.items():
        assert repr([v for part in alone for v in part[name]]) == repr(found), f"{name}: components interfere"
    if stage.streams:
        parts = [elected(stage, table.slice(i, 2)) for i in range(0, table.num_rows, 2)]
        for name, found in whole.items():
            assert repr([v for part in parts for v in part[name]]) == repr(found), f"{name}: pieces differ"
    for a, b in pairwise(cuts):
        if b - a == 1 and stage.indexed:
            assert whole["<drop>"][a] is None, "alone in its component, and dropped"
    elected(stage, table.slice(0, 0))


def _part(table: pa.Table, start: int, stop: int) -> pa.Table:
    """Some components of what `elect` is handed."""
    part = table.slice(start, stop - start)
    if "leader" in part.column_names:
        place = part.column_names.index("leader")
        part = part.set_column(place, "leader", pc.subtract(part["leader"], start))
    return part


@every(Linked)
def test_prepare_and_link(stage: Linked) -> None:
    table = items_of(stage, ROWS)
    before = shown(table)
    fitted = stage.fit(table, ROWS) if stage.sample_size() else {}
    found = stage.prepare(table, fitted)
    assert shown(table) == before, "the input was modified"
    assert found.signature.schema == stage.signature()
    assert found.signature.schema.field("twin").type == pa.uint64()
    assert found.keys.type == pa.list_(pa.uint64())
    keys = found.keys.to_pylist()
    assert len(keys) == found.signature.num_rows == ROWS
    assert all(len(set(of or ())) == len(of or ()) for of in keys)
    for size in (1, 7):
        parts = [stage.prepare(table.slice(i, size), fitted) for i in range(0, ROWS, size)]
        assert joined([p.keys for p in parts]) == keys
        assert pa.concat_tables([p.signature for p in parts]).equals(found.signature)
    assert stage.prepare(table.slice(0, 0), fitted).signature.schema == stage.signature()
    # a copy of everything: each item has a twin, which has its keys
    bucket = _bucket(stage, found)
    for links in stage.link(bucket):
        left, right = (links[side].to_numpy() for side in ("left", "right"))
        assert (bucket["key"].to_numpy()[left] == bucket["key"].to_numpy()[right]).all()
        assert (left != right).all()
        assert stage.verifies() or links["similarity"].type == pa.float32()
    has = [row for row, of in enumerate(keys) if of]
    assert has, "the generated table gives it something to do"
    if stage.verifies():
        some = found.signature.take(pa.array(has))
        assert all(value > 0.99 for value in stage.verify(some, some).to_pylist())
        moved = some.take(pa.array(np.roll(np.arange(len(has)), 1)))
        assert stage.verify(some, moved).equals(stage.verify(moved, some))


def _bucket(stage: Linked, found: Prepared) -> pa.Table:
    counts = pc.fill_null(pc.list_value_length(found.keys), 0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(counts)), counts)
    names = list(dict.fromkeys(["twin", *stage.carried().names]))
    bucket = found.signature.select(names).take(pa.array(row)).append_column("key", found.keys.flatten())
    return bucket.sort_by([("key", "ascending"), ("twin", "ascending")])
