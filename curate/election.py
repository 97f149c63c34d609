"""A Group's tasks in their order, on the driver, which holds facts about parts and buckets, never rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate import exchange, index
from curate.commit import FORMAT, read_json
from curate.group import groups_of
from curate.group_items import name_files
from curate.linked import Linked
from curate.links import sample_bound
from curate.members import PIECE
from curate.stage import fingerprint
from curate.steps import GroupStep
from curate.work import Context, Tasks

_GROUP_ITEMS = PIECE  # items of a bucket of equal keys, about
_BUCKET_BYTES = 1 << 27  # of keys that are linked, and what is carried with each


@dataclass
class Election:
    """One Group over the parts of a segment."""

    context: Context
    step: GroupStep
    parts: Sequence[str]
    digests: Sequence[str]  # of the data of each part
    items: int  # living items in all of them
    computed: int = 0
    reused: int = 0

    def __post_init__(self) -> None:
        self.folder: Path = self.context.folder.group(self.step.id)
        self.known = index.known(self.step)
        self.buckets = self._buckets()

    def _buckets(self) -> int:
        stage = self.step.stage
        items = self.items + sum(file.items for file in self.known)
        if not isinstance(stage, Linked):
            return max(1, -(-items // _GROUP_ITEMS))
        size = 40 + sum(index.width(field.type) for field in stage.carried())
        wanted = items * stage.keys_each() * size // _BUCKET_BYTES
        return 1 << min(12, int(wanted).bit_length())  # a power of two: more data changes it rarely

    # -- prints: what decides a result ----------------------------------------------------------------------

    def sample_prints(self) -> list[str]:
        bound = self._bound()
        return [fingerprint(FORMAT, self.step.fingerprint, digest, bound) for digest in self.digests]

    def _fit_print(self) -> str:
        return fingerprint(self.sample_prints(), self.items)

    def _bound(self) -> int:
        stage = self.step.stage
        wanted = stage.sample_size() if isinstance(stage, Linked) else 0
        return sample_bound(wanted, self.items) if wanted and not self.known else 0

    def _learnt(self) -> tuple[str, str]:
        """Where what was fitted lies, and its digest."""
        if not self._bound():
            return (str(self.known[0].run_folder), self.known[0].learnt) if self.known else ("", "")
        print_ = self._fit_print()
        done = read_json(self.folder / "fitted.json")
        known = done is not None and done["fingerprint"] == print_
        return str(self.folder), str(done["digest"]) if done is not None and known else "unknown"

    def key_prints(self) -> list[str]:
        learnt = self._learnt()[1]
        return [
            fingerprint(FORMAT, self.step.fingerprint, digest, number, self.buckets, learnt)
            for number, digest in enumerate(self.digests)
        ]

    def print_(self) -> str:
        """Of what decides the whole: the keys of all parts, and what earlier runs kept."""
        known = [file.digest for file in self.known]
        return fingerprint(self.step.fingerprint, self.key_prints(), self.buckets, known, len(self.parts))

    def held(self) -> bool:
        """Whether the decisions in the run folder are those that an election would give now."""
        print_, buckets = self.print_(), self.buckets
        if isinstance(self.step.stage, Linked):
            done = read_json(self.folder / "members" / "all.json")
            if done is None or done["fingerprint"] != print_:
                return False
            buckets = done["buckets"]
        notes = [read_json(self.folder / "decisions" / f"{bucket:06d}.json") for bucket in range(buckets)]
        groups = range(groups_of(len(self.parts)))
        notes += [read_json(self.folder / "decided" / f"{group:06d}.json") for group in groups]
        return all(note is not None and note["fingerprint"] == print_ for note in notes)

    # -- tasks ----------------------------------------------------------------------------------------------

    def hold(self, tasks: Tasks) -> None:
        """Everything, as far as it is not done."""
        if not self.parts:
            return
        linked = isinstance(self.step.stage, Linked)
        shutil.rmtree(self.folder / "spill", ignore_errors=True)  # of tasks that were killed
        if self._bound():
            self._fit(tasks)
        self._keys(tasks, "prepare" if linked else "send_keys")
        print_ = self.print_()
        buckets = self._edges(tasks, print_) if linked else self.buckets
        exchange.keep_only(self.folder / "decisions", [f"{b:06d}" for b in range(buckets)])
        decide = [
            {"node": self.step.id, "bucket": b, "own": len(self.parts), "print_": print_}
            for b in range(buckets)
        ]
        _run(tasks(f"{self.step.id}: electing", "decide", decide))
        groups = groups_of(len(self.parts))
        exchange.keep_only(self.folder / "decided", [f"{g:06d}" for g in range(groups)])
        hand_out = [{"node": self.step.id, "group": g, "print_": print_} for g in range(groups)]
        _run(tasks(f"{self.step.id}: handing out", "hand_out", hand_out))

    def _fit(self, tasks: Tasks) -> None:
        exchange.keep_only(self.folder / "sample", self.parts)
        prints = self.sample_prints()
        arguments = [
            {"node": self.step.id, "part": part, "below": self._bound(), "print_": print_}
            for part, print_ in zip(self.parts, prints, strict=True)
        ]
        _run(tasks(f"{self.step.id}: a sample", "fit_sample", arguments))
        fit = {"node": self.step.id, "total": self.items, "print_": self._fit_print()}
        _run(tasks(f"{self.step.id}: fitting", "fit", [fit]))

    def _keys(self, tasks: Tasks, task: str) -> None:
        stage = self.step.stage
        senders = [f"known.{number:06d}" for number in range(len(self.known))]
        exchange.keep_only(self.folder / "keys", [*self.parts, *senders])
        if isinstance(stage, Linked):
            exchange.keep_only(self.folder / "items", self.parts)
            own = [Path("items") / f"{part}.arrow" for part in self.parts]
            name_files(self.folder, [*own, *(file.path for file in self.known)], len(own))
        learnt = {"learnt": self._learnt()[0]} if isinstance(stage, Linked) else {}
        prints = dict(zip(self.parts, self.key_prints(), strict=True))
        common = {"node": self.step.id, "buckets": self.buckets}
        arguments = [
            {**common, "part": part, "number": number, "print_": print_, **learnt}
            for number, (part, print_) in enumerate(prints.items())
        ]
        for _, sent in tasks(f"{self.step.id}: keys", task, arguments):
            self.computed += sent["computed"]
            self.reused += sent["reused"]
        known = [
            {**common, "file": str(file.path), "sender": sender, "number": len(self.parts) + number}
            for number, (file, sender) in enumerate(zip(self.known, senders, strict=True))
        ]
        if known:
            _run(tasks(f"{self.step.id}: keys of earlier runs", "send_known", known))
        prints |= {s: f"{f.digest} {self.buckets}" for s, f in zip(senders, self.known, strict=True)}
        exchange.gather(tasks, "merging keys", self.step.id, self.folder / "keys", prints)

    def _edges(self, tasks: Tasks, print_: str) -> int:
        """From keys to components; the number of elections."""
        names = [f"{b:06d}" for b in range(self.buckets)]
        exchange.keep_only(self.folder / "edges", names)
        common = {"node": self.step.id, "print_": print_}
        pair = [{**common, "bucket": b, "buckets": self.buckets} for b in range(self.buckets)]
        senders = [s for _, sent in tasks(f"{self.step.id}: pairs", "pair", pair) for s in sent["senders"]]
        exchange.keep_only(self.folder / "pairs", [*names, *senders])
        prints = dict.fromkeys(senders, print_)
        exchange.gather(tasks, "merging pairs", self.step.id, self.folder / "pairs", prints)
        verify = [{**common, "bucket": b} for b in range(self.buckets)]
        _run(tasks(f"{self.step.id}: verifying", "verify", verify))
        found = [done for _, done in tasks(f"{self.step.id}: components", "connect", [common])]
        return int(found[0]["buckets"])


def _run(results: Iterator[tuple[int, Mapping[str, Any]]]) -> None:
    for _ in results:
        pass
