from __future__ import annotations

from typing import Any

import pytest
import yaml
from workshop import Workshop

from curate.io.llava_write import WriteLlava
from curate.io.parquet_write import WriteParquet
from curate.io.sink import Write
from curate.io.webdataset_write import WriteWebdataset

WRITES = [
    WriteWebdataset(),
    WriteWebdataset(images="original"),
    WriteWebdataset(form="documents"),
    WriteParquet(),
    WriteParquet(form="documents"),
    WriteLlava(),
]


def front(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)  # type: ignore[no-any-return]


@pytest.mark.parametrize("write", WRITES)
def test_the_card_tells_counts_columns_and_how_to_load(write: Write, shop: Workshop) -> None:
    schema = shop.table([shop.pair(0)]).schema
    facts = {"output": "pt_pairs", "samples": 12345, "images": 12345, "shards": 2, "schema": schema}
    card = write.card({**facts, "recipe": "/home/somebody/recipes/pt.yaml", "license": "cc-by-4.0"})
    assert "# pt_pairs\n" in card
    assert "- 12,345 samples\n" in card
    assert "| `image_clip` | image | list<item: float> |" in card
    assert "load_dataset" in card or "webdataset" in card
    assert "verdict" not in card
    assert "image_ref" not in card
    assert "/home" not in card
    assert "`pt.yaml`" in card
    assert front(card)["license"] == "cc-by-4.0"
    assert front(card)["size_categories"] == ["10K<n<100K"]


@pytest.mark.parametrize("write", WRITES)
def test_a_card_of_names_only_claims_no_types_and_no_licence(write: Write) -> None:
    names = ["sample_id", "image_ref", "image_clip", "verdict.keep"]
    card = write.card({"output": "o", "samples": 3, "images": 3, "shards": 1, "columns": names})
    assert front(card)["license"] == "unknown"
    assert front(card)["size_categories"] == ["n<1K"]
    assert "dataset_info" not in front(card)
    assert "| `image_clip` | image |" in card
    assert "verdict" not in card


def test_the_loading_code_runs(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    table = shop.table([shop.pair(i) for i in range(3)])
    pages = shop.table([shop.document(1, "titti"), shop.document(2, "ti")])
    for i, (write, rows) in enumerate(
        [
            (WriteWebdataset(), table),
            (WriteWebdataset(images="original"), table),
            (WriteWebdataset(form="documents"), pages),
            (WriteLlava(), table),
        ]
    ):
        folder, _ = shop.write(write, [rows], f"out{i}")
        monkeypatch.chdir(folder)
        block = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
        names: dict[str, Any] = {}
        exec(block, names)  # what a reader would paste
        if "pairs" in names:
            assert [text for _, text, _ in names["pairs"]] == [f"a picture of number {n}" for n in range(3)]
        elif "rows" in names:
            assert len(names["rows"]) == 3
        else:
            assert names["span"] is not None


@pytest.mark.parametrize("write", WRITES)
def test_the_card_names_the_models_that_decided(write: Write) -> None:
    card = write.card({"output": "o", "samples": 1, "notices": ["`lid`: a model, CC BY-SA 3.0"]})
    assert "## Made with\n\n- `lid`: a model, CC BY-SA 3.0\n" in card
    assert "Made with" not in write.card({"output": "o", "samples": 1})
