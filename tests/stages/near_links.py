"""A linked stage as the engine runs it, in a few lines: who is linked with whom, and how alike they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.linked import Linked

Links = dict[tuple[str, str], float]


def links(
    stage: Linked, items: pa.Table, cut: int = 1000, buckets: int = 3, total: int | None = None
) -> Links:
    """Pairs of sample ids in order -> their similarity. Items come in parts of `cut` rows."""
    ordered = items.sort_by("sample_id").combine_chunks()
    sample = ordered.slice(0, stage.sample_size())
    fitted = stage.fit(sample, total or items.num_rows) if stage.sample_size() else {}
    parts = [stage.prepare(items.slice(i, cut), fitted) for i in range(0, items.num_rows, cut)]
    signature = pa.concat_tables([p.signature for p in parts]).combine_chunks()
    keys = pa.concat_arrays([p.keys for p in parts])
    row = np.repeat(np.arange(len(keys)), pc.fill_null(pc.list_value_length(keys), 0).to_numpy())
    table = (
        signature.take(pa.array(row)).append_column("key", keys.flatten()).append_column("row", pa.array(row))
    )
    ids = items["sample_id"].to_pylist()
    found: Links = {}
    for number in range(buckets):
        mine = table.filter(pa.array(table["key"].to_numpy() % buckets == number))
        mine = mine.sort_by([("key", "ascending"), ("twin", "ascending")]).combine_chunks()
        own = mine["row"].to_numpy()
        shown = mine.select(["key", *stage.carried().names])
        for linked in stage.link(shown):
            left, right = (own[linked[side].to_numpy()] for side in ("left", "right"))
            if stage.verifies():
                alike = stage.verify(signature.take(pa.array(left)), signature.take(pa.array(right)))
            else:
                alike = linked["similarity"]
            for i, j, value in zip(left.tolist(), right.tolist(), alike.to_pylist(), strict=True):
                if value is not None:
                    one, other = sorted((ids[i], ids[j]))
                    assert found.setdefault((one, other), value) == value
    return found
