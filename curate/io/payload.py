"""Late payload: from references to bytes, in file order, each file's reads together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow.parquet as pq

from curate.io.storage import Storage

_REFERENCE = re.compile(r"^(?P<path>[^#]*)#(?P<kind>bytes|row|data|fetched)=(?P<where>.*)$", re.DOTALL)

# How Python spells bytes of a file name that are no UTF-8 (PEP 383), and how a reference does.
_SURROGATE = re.compile("[\udc80-\udcff]")
_ESCAPED_BYTE = re.compile(r"%([89A-F][0-9A-F])")
_FETCHED = "\0fetched"  # in place of a data set, none of which can be called that


def quote(path: str) -> str:
    """A path as it stands in a reference: `#` and `%` are escaped, and bytes of a name that are no UTF-8."""
    path = path.replace("%", "%25").replace("#", "%23")
    return path if path.isascii() else _SURROGATE.sub(lambda m: f"%{ord(m[0]) - 0xDC00:02X}", path)


def unquote(path: str) -> str:
    if "%" not in path:
        return path
    path = _ESCAPED_BYTE.sub(lambda m: chr(0xDC00 + int(m[1], 16)), path)
    return path.replace("%23", "#").replace("%25", "%")


def byte_reference(path: str, offset: int, length: int) -> str:
    return f"{quote(path)}#bytes={offset}+{length}"


def fetched_reference(path: str, offset: int, length: int) -> str:
    """Bytes in the run's own store (`curate.io.store`), whatever the sample's data set."""
    return f"{quote(path)}#fetched={offset}+{length}"


def row_reference(path: str, group: int, row: int, column: str, item: int | None = None) -> str:
    column = column.replace("%", "%25").replace("/", "%2F")
    return f"{quote(path)}#row={group}/{row}/{column}" + ("" if item is None else f"/{item}")


def data_reference(path: str, ordinal: int) -> str:
    return f"{quote(path)}#data={ordinal}"


class Payload:
    """Reads the bytes behind references, for the data sets of a recipe."""

    def __init__(
        self, storages: Mapping[str, Storage], limit: int = 256 << 20, fetched: Storage | None = None
    ) -> None:
        self._storages = storages
        self._fetched = fetched
        self._limit = limit
        self._group: tuple[tuple[str, str, int, str], list[object]] | None = None
        self._page: tuple[tuple[str, str], list[bytes]] | None = None

    def fetch(self, datasets: Sequence[str], references: Sequence[str | None]) -> list[bytes | str]:
        """For each reference its bytes, or a reason (`missing`, `oversized`) where there are none."""
        found: list[bytes | str] = ["missing"] * len(references)
        by_file: dict[tuple[str, str], list[tuple[str, str, int]]] = defaultdict(list)
        for i, (dataset, reference) in enumerate(zip(datasets, references, strict=True)):
            if reference is None:
                continue
            match = _REFERENCE.match(reference)
            path, kind, where = match.group("path", "kind", "where") if match else (reference, "file", "")
            own = (_FETCHED, "bytes") if kind == "fetched" and self._fetched else (dataset, kind)
            by_file[own[0], unquote(path)].append((own[1], where, i))
        for (dataset, path), wanted in sorted(by_file.items()):
            storage = self._fetched if dataset == _FETCHED else self._storages[dataset]
            assert storage is not None
            try:
                self._fetch_file(storage, dataset, path, wanted, found)
            except FileNotFoundError:
                continue  # the whole file is gone: all of its references stay `missing`
        return found

    def _fetch_file(
        self,
        storage: Storage,
        dataset: str,
        path: str,
        wanted: list[tuple[str, str, int]],
        found: list[bytes | str],
    ) -> None:
        ranges = []
        # sorted, so that each row group is read once however the rows are ordered
        for kind, where, i in sorted(wanted):
            if kind == "bytes":
                offset, length = (int(n) for n in where.split("+"))
                if length > self._limit:
                    found[i] = "oversized"
                else:
                    ranges.append((offset, length, i))
            elif kind == "row":
                found[i] = self._from_row(storage, dataset, path, where)
            elif kind == "data":
                found[i] = self._from_page(storage, dataset, path, int(where))
            else:
                found[i] = "oversized" if storage.stat(path).size > self._limit else storage.read(path)
        ranges.sort()
        read = storage.read_ranges(path, [(offset, length) for offset, length, _ in ranges])
        for (_, _, i), piece in zip(ranges, read, strict=True):
            found[i] = piece

    def _from_row(self, storage: Storage, dataset: str, path: str, where: str) -> bytes | str:
        group, row, column, *item = where.split("/")
        column = column.replace("%2F", "/").replace("%25", "%")
        key = (dataset, path, int(group), column)
        if self._group is None or self._group[0] != key:
            with storage.open(path) as file:
                # whole row groups: a page cannot be read alone, and neighbours are asked for next
                # in batches: Arrow refuses a struct column beyond 2 GiB in one piece
                batches = pq.ParquetFile(file).iter_batches(64, row_groups=[int(group)], columns=[column])
                self._group = (key, [v for batch in batches for v in batch.column(column).to_pylist()])
        value = self._group[1][int(row)]
        if item and isinstance(value, list):
            value = value[int(item[0])]
        if isinstance(value, dict):  # the Hugging Face image struct
            value = value.get("bytes")
        if not isinstance(value, bytes):
            return "missing"
        return "oversized" if len(value) > self._limit else value

    def _from_page(self, storage: Storage, dataset: str, path: str, ordinal: int) -> bytes | str:
        if self._page is None or self._page[0] != (dataset, path):
            from curate.io.html import data_uris

            self._page = ((dataset, path), data_uris(storage.read(path)))
        uris = self._page[1]
        return uris[ordinal] if ordinal < len(uris) else "missing"
