from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stages.common.bucket_lots import Lot, lot_of, moves, read_lot
from stages.common.resolutions import Size
from stages.image.bucket_floor import BucketFloor
from stages.sample.bucket import Bucket


def bucketed(sizes: Sequence[tuple[int, int]], deserved: Sequence[int] = (), **config: Any) -> pa.Table:
    """Images of these sizes with what `bucket` says of them, without those that it drops."""
    _, part = Bucket.model_validate(config).by_level()[-1]
    widths, heights = (pa.array(side, pa.int32()) for side in zip(*sizes, strict=True))
    table = pa.table({"image_width": widths, "image_height": heights})
    if deserved:
        table = table.append_column("image_tier_wanted", pa.array(deserved, pa.int32()))
    out = part.open()(table)
    assert out.drop is not None
    for name, values in out.columns.items():
        table = table.append_column(name, values)
    return table.filter(pc.is_null(out.drop))


def counted(table: pa.Table) -> dict[str, dict[str, int]]:
    """As the engine counts."""
    lots = pc.value_counts(table["image_bucket_lot"]).to_pylist()
    return {"image_bucket_lot": {found["values"]: found["counts"] for found in lots}}


def floored(table: pa.Table, **config: Any) -> tuple[pa.Table, int]:
    """What is left, with its new columns, and how many images were dropped."""
    floor = BucketFloor.model_validate(config)
    out = floor.counted(counted(table)).open()(table.select(sorted(floor.reads())))
    assert out.drop is not None
    assert set(out.drop.drop_null().to_pylist()) <= floor.reasons()
    for name, values in out.columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    left = table.filter(pc.is_null(out.drop))
    return left, table.num_rows - left.num_rows


def tally(table: pa.Table) -> Counter[str]:
    return Counter(table["image_bucket"].to_pylist())


def web_sizes(number: int, seed: int = 0) -> list[tuple[int, int]]:
    rng = random.Random(seed)
    common = [(4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (1, 1)]
    found = []
    for _ in range(number):
        wide, high = rng.choice(common) if rng.random() < 0.7 else (rng.randint(5, 30), rng.randint(5, 30))
        scale = rng.uniform(400, 3000) / max(wide, high)
        found.append((int(wide * scale), int(high * scale)))
    return found


NOVELAI: dict[str, Any] = {"policy": "aspect", "aspect": {"buckets": "novelai"}}
EVERY: list[dict[str, Any]] = [
    NOVELAI,
    {"policy": "aspect"},
    {**NOVELAI, "too_small": "keep", "max_upscale": 1.2},
    {"policy": "native", "native": {"max_pixels": 451584}},
    {"policy": "tiles"},
    {},
]


@pytest.mark.parametrize("config", EVERY, ids=lambda config: str(config))
@pytest.mark.parametrize("least", [2, 16, 100])
def test_no_bucket_is_left_with_fewer(config: dict[str, Any], least: int) -> None:
    sizes = web_sizes(600)
    rng = random.Random(1)
    tiers = [] if config.get("policy") else [rng.choice([224, 336, 448, 896]) for _ in sizes]
    table = bucketed(sizes, tiers, **config)
    upscale = config.get("max_upscale", 1.0)
    left, dropped = floored(table, min=least, max_upscale=upscale)
    assert min(tally(left).values(), default=least) >= least
    assert min(tally(table).values()) < least, "there is something to do"
    for row in left.to_pylist():
        wide, high = row["image_target_width"], row["image_target_height"]
        assert row["image_bucket"] == f"{wide}x{high}"
        assert row["image_bucket"] in tally(table)
        assert wide <= row["image_width"] * upscale
        assert high <= row["image_height"] * upscale
        size = Size(wide, high)
        assert row["image_bucket_lot"] == str(
            lot_of(row["image_width"], row["image_height"], size, row["image_tier"])
        )
    # what is dropped is no more than what stood in rare buckets
    assert dropped <= sum(n for n in tally(table).values() if n < least)
    strict, gone = floored(table, min=least, fallback="drop")
    assert gone == sum(n for n in tally(table).values() if n < least) >= dropped
    assert tally(strict) == {name: n for name, n in tally(table).items() if n >= least}


def test_most_find_another_bucket() -> None:
    table = bucketed(web_sizes(3000), **NOVELAI)
    rare = sum(n for n in tally(table).values() if n < 32)
    left, dropped = floored(table, min=32)
    assert rare > 150
    assert dropped < rare / 10
    assert {"1024x384", "384x1024"} <= set(tally(left)), "rare ones make up buckets among themselves"


def test_fewer_than_the_least_together_stay() -> None:
    table = bucketed([(1200, 1200), (1920, 1080)], **NOVELAI)
    assert floored(table, min=3) == (table, 0)
    assert floored(table, min=3, fallback="drop")[1] == 2


def goes(
    counts: Mapping[str, int], least: int = 10, upscale: float = 1.0, change: float = 1.5
) -> dict[str, Any]:
    lots = {}
    for text, n in counts.items():
        lot = read_lot(text)
        assert lot is not None
        lots[lot] = n
    found = moves(lots, 10, upscale, change)
    return {str(lot): to and f"{to.tier}/{to.size.width}x{to.size.height}" for lot, to in found.items()}


def test_the_same_tier_first_then_the_ratio_then_the_area() -> None:
    many = {"448/504x392/110": 50, "448/448x448/110": 50, "336/448x252/110": 50, "336/336x336/110": 50}
    same_ratio = {"336/380x260/110": 50}
    assert goes({**many, **same_ratio, "448/532x364/110": 3}) == {"448/532x364/110": "448/504x392"}
    assert goes({**many, "448/532x364/110": 3}) == {"448/532x364/110": "448/504x392"}
    # 364 of 392 pixels are too few
    assert goes({**many, "448/532x364/100": 3}) == {"448/532x364/100": "336/448x252"}
    assert goes({**many, "336/364x308/100": 3}) == {"336/364x308/100": None}
    assert goes({**many, "336/364x308/100": 3}, upscale=1.1) == {"336/364x308/100": "336/336x336"}


def test_a_ratio_changes_by_no_more_than_it_may() -> None:
    counts = {"448/448x448/200": 50, "448/672x280/200": 3}
    assert goes(counts) == {"448/672x280/200": None}
    assert goes(counts, change=2.4) == {"448/672x280/200": "448/448x448"}


def test_rare_ones_make_up_a_bucket_together() -> None:
    counts = {"448/448x448/100": 6, "448/476x420/110": 5, "224/896x56/100": 10}
    assert goes(counts) == {"448/476x420/110": "448/448x448"}


def test_what_could_go_nowhere_waits_for_others() -> None:
    """The square's images fill nothing else, but with the others' there are enough of them."""
    counts = {"448/448x448/100": 5, "448/476x420/110": 6, "224/896x56/100": 10}
    assert goes(counts) == {"448/476x420/110": "448/448x448"}


def test_where_an_image_goes_is_measured_from_its_first_bucket() -> None:
    """Twice dissolved, it still goes where its own ratio is nearest, enlarged no more than it may be."""
    counts = {"448/448x448/120": 2, "448/476x420/120": 5, "448/504x392/120": 30, "448/420x476/120": 30}
    assert goes(counts) == {
        "448/448x448/120": "448/420x476",
        "448/476x420/120": "448/504x392",
    }


def test_what_has_a_tier_keeps_one() -> None:
    assert goes({"-/196x196/100": 50, "224/224x224/100": 3}) == {"224/224x224/100": None}
    assert goes({"-/196x196/100": 50, "-/196x224/100": 3}) == {"-/196x224/100": "None/196x196"}


def test_the_order_of_counts_is_of_no_matter() -> None:
    rng = random.Random(3)
    sizes = [Size(28 * rng.randint(4, 40), 28 * rng.randint(4, 40)) for _ in range(200)]
    counts = {Lot(None, size, rng.choice([100, 110, 200])): rng.randint(1, 60) for size in sizes}
    turned = dict(sorted(counts.items(), key=lambda item: str(item[0])[::-1]))
    assert moves(counts, 40, 1.0, 1.5) == moves(turned, 40, 1.0, 1.5)


def test_lots_are_read_as_written() -> None:
    lot = Lot(448, Size(504, 392), 110)
    assert read_lot(str(lot)) == lot
    assert read_lot(str(lot._replace(tier=None))) == lot._replace(tier=None)
    assert read_lot("none") is None
