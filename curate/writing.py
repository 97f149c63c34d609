"""A Write's tasks in their order, on the driver, which holds facts about parts and shards, never rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate import exchange, output, placing
from curate.errors import RunError
from curate.sample import Ints
from curate.stage import fingerprint
from curate.steps import WriteStep
from curate.work import Context, Tasks

_MOST_FOLDERS = 10_000  # of an output; the driver holds figures about each


@dataclass
class Writing:
    """One output of the survivors of a segment's parts."""

    context: Context
    step: WriteStep
    parts: Sequence[tuple[str, int]]  # with the number of each
    rows: int  # survivors in all of them
    tasks: Tasks
    facts: Mapping[str, Any]  # for the data card: what only the driver knows

    def hold(self) -> dict[str, Any]:
        """Write it, as far as it is not written: what `output.publish` says, and how much was repeated."""
        id = self.step.id
        cut = placing.buckets(self.step.stage, self.rows)
        folder = self.context.folder.write(id) / "rows"
        exchange.keep_only(folder, [part for part, _ in self.parts])
        common = {"node": id, "cut": list(cut), "parts": len(self.parts)}
        arguments = [{**common, "part": part, "number": number} for part, number in self.parts]
        prints = [""] * len(self.parts)
        weights: dict[str, Ints] = {}
        repeated = {"samples": 0, "images": 0}
        for number, sent in self.tasks(f"{id}: ordering", "send_rows", arguments):
            prints[number] = sent["fingerprint"]
            _add(weights, sent["weights"], cut)
            if len(weights) > _MOST_FOLDERS:
                many = f"more than {_MOST_FOLDERS:,} different values"
                raise RunError(
                    f"output `{id}`: `by: {list(self.step.stage.by)}` makes too many folders: {many}"
                )
            repeated = {level: n + sent["repeated"][level] for level, n in repeated.items()}
        sent_by = dict(zip((part for part, _ in self.parts), prints, strict=True))
        exchange.gather(self.tasks, "merging rows", id, folder, sent_by)
        # prices are no part of an identity
        priced = [s.model_dump(mode="json") for s in output.on_the_way(self.context, self.step) if s.totals()]
        asked = [self.step.totals, self.step.tallies, priced]
        print_ = fingerprint(self.step.stage.identity(), prints, self.facts, asked)
        done = output.published(self.context, id, print_) or self._shards(cut, weights, print_)
        return {**done, "repeated": repeated}

    def _shards(self, cut: placing.Buckets, weights: dict[str, Ints], print_: str) -> dict[str, Any]:
        id = self.step.id
        spans = list(placing.spans(self.step.stage, cut, weights))
        arguments = [{"node": id, "print_": print_, **span._asdict()} for span in spans]
        for _ in self.tasks(f"{id}: shards", "write_shard", arguments):
            pass
        names = [span.name for span in spans]
        publish = {"node": id, "shards": names, "print_": print_, "facts": self.facts}
        return dict(next(result for _, result in self.tasks(f"{id}: publishing", "publish", [publish])))


def _add(weights: dict[str, Ints], sent: Sequence[Sequence[Any]], cut: placing.Buckets) -> None:
    for folder, places, sums in sent:
        here = weights.setdefault(folder, np.zeros(cut.each, dtype=np.int64))
        within = np.asarray(places, dtype=np.int64) - placing.first_bucket(folder, cut)
        here[within] += np.asarray(sums, dtype=np.int64)
