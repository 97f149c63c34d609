"""Many items of one key: decided about in pieces, as if at once, in bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pools
import pytest

from curate import exchange, members

BEST = [{"column": "text_words"}]
GROUPS: dict[str, dict[str, Any]] = {
    "best": {"stage": "exact", "key": "image_sha256", "prefer": BEST},
    "quota": {"stage": "quota", "share": 0.3, "prefer": BEST},
    "drawn": {"stage": "quota", "max": 30, "by": ["dataset"], "weight": "text_chars"},
    "mixed": {"stage": "mix", "weights": {"in": 1}, "total": 150, "unit": "text_words"},
    "balanced": {"stage": "balance", "limit": 4},
}


def recipe(path: str, group: dict[str, Any], **fields: Any) -> pools.Recipe:
    return {
        "name": "hot",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": 9, "name": "in"},
            {"stage": "sha256"},
            {"stage": "text_stats"},
            {"id": "group", **group, **fields},
            {"id": "out", "stage": "write_webdataset", "shard_size": 50},
        ],
    }


def rows(first: int, last: int) -> list[pools.Pair]:
    """Four pictures and seven captions of 2 to 8 words."""
    return [
        pools.Pair(f"k{i:04d}", pools.picture(i % 4), " ".join(["word"] * (2 + i % 7)))
        for i in range(first, last)
    ]


def in_pieces(monkeypatch: pytest.MonkeyPatch, most: int = 4) -> None:
    monkeypatch.setattr(members, "PIECE", most)
    monkeypatch.setattr(exchange, "FAN", 3)


@pytest.mark.parametrize("name", GROUPS)
def test_pieces_decide_like_the_whole(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pools.write_tars(tmp_path / "in", rows(0, 90), 3)
    pools.prove(pools.run(recipe(path, GROUPS[name]), tmp_path / "whole"))
    shown: list[int] = []
    told = members.told

    def counted(*given: Any) -> Any:
        shown.append(given[0].num_rows)
        return told(*given)

    in_pieces(monkeypatch)
    monkeypatch.setattr(members, "told", counted)
    pools.prove(pools.run(recipe(path, GROUPS[name]), tmp_path / "pieces"))
    assert len(shown) > 5
    assert max(shown) < 30, "a piece holds a part of the members"
    dead = pools.dead(tmp_path / "whole")
    assert 0 < len(dead) < 90
    assert pools.dead(tmp_path / "pieces") == dead
    assert pools.output_bytes(tmp_path / "pieces") == pools.output_bytes(tmp_path / "whole")
    left = list((tmp_path / "pieces" / "state" / "groups" / "group" / "spill").rglob("*.arrow"))
    assert left == []


def test_what_is_known_comes_first_in_pieces_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_pieces(monkeypatch)
    one, two = (pools.write_tars(tmp_path / f"in{i}", rows(60 * i, 60 * (i + 1)), 2) for i in range(2))
    exact = {"stage": "exact", "key": "image_sha256"}
    pools.run(recipe(one, exact), tmp_path / "day1")
    pools.run(recipe(two, exact, known=[str(tmp_path / "day1")]), tmp_path / "day2")
    survivors = set(pools.index(tmp_path / "day1", "out")["sample_id"].to_pylist())
    assert len(survivors) == 4
    told = [row for row in pools.ledger(tmp_path / "day2") if row["level"] == "image"]
    assert len(told) == 60
    assert {row["image_survivor"] for row in told} == survivors
