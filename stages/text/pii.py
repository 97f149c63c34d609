"""See `Pii`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import ClassVar, Literal, TypeAlias, get_args

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.sample import Level, single
from curate.stage import Map, Names, Op, Out
from stages.common import pii_address, pii_numbers, pii_phone
from stages.common.pii_text import Span, blank, fold, without_names

Search: TypeAlias = Callable[[str], Iterator[tuple[int, int]]]
Kind: TypeAlias = Literal["email", "ip", "iban", "card", "id", "phone"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # in this order: what one claims, those behind it do not see

_NUMBERS = frozenset(("iban", "card", "id", "phone"))  # not looked for in web addresses and file names

SPANS = pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))
# A digit of any script, or what an address cannot be spelled without.
_SUSPECT = re.compile(r"[\d@＠]|\bdot\b|[\[({] ?at\b", re.IGNORECASE)
_PLACEHOLDERS = {"email": "[EMAIL]", "iban": "[IBAN]", "card": "[CARD]", "ip": "[IP]", "phone": "[PHONE]"}


class Pii(Map):
    """Personal data in a text: e-mail and IP addresses, telephone, card, account and identity numbers.

        text_pii         kind, start and end of each finding, in code points of the text as it was; empty
                         without findings
        text_pii_count   their number: `keep` with `text_pii_count: {max: 0}` drops texts with any

    With `action: mask` each finding becomes `[EMAIL]`, `[PHONE]`, `[IP]`, `[CARD]`, `[IBAN]` or `[ID]` in
    `text_body`, for all that comes after; what stood there is written to no output. Other columns (`meta`,
    `title`, `image_alt` ...) stay as they are.

        email   also `a [at] b [dot] c`
        phone   international form of any country; national form of `regions`; any digits behind a word such
                as "Tel." or "电话". By the numbering plans of libphonenumber
        ip      addresses of the public internet, no version numbers
        card    payment cards: issuer's prefix and length, Luhn's check digit
        iban    bank accounts: a country's shape, and remainder 1 by 97
        id      identity numbers with python-stdnum's check digits, or with a word that names them: us_ssn,
                cn_id, in_aadhaar, br_cpf, ca_sin, fr_nir, it_cf, es_dni, de_idnr, gb_nino, gb_nhs, kr_rrn,
                nl_bsn, be_nn, pl_pesel, se_pnr, fi_hetu; these are the kinds in `text_pii`

    Names and addresses of people are not looked for: no pattern finds them. Zero-width characters hide what
    they are put in, so `normalise` belongs before this stage.
    """

    stage: Literal["pii"] = "pii"
    level: ClassVar[Level] = "text"

    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1, description="What is looked for.")
    action: Literal["mark", "mask"] = Field(default="mark", description="`mask` rewrites `text_body`.")
    regions: Names = Field(
        default=("US", "GB", "DE", "FR", "ES", "IT", "CN", "JP", "KR", "IN", "BR"),
        description="Countries (ISO 3166) whose telephone numbers are found in national form too.",
    )

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def rewrites(self) -> frozenset[str]:
        return frozenset({"text_body"} if self.action == "mask" else ())

    def writes(self) -> pa.Schema:
        masked = [("text_body", pa.string())] if self.action == "mask" else []
        return pa.schema([("text_pii", SPANS), ("text_pii_count", pa.int32()), *masked])

    def assets(self) -> Mapping[str, str]:
        return {name: f"{name}, version {version(name)}" for name in ("phonenumbers", "python-stdnum")}

    def check_columns(self, columns: pa.Schema) -> None:
        import phonenumbers

        for region in self.regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                hint = nearest(region.upper(), phonenumbers.SUPPORTED_REGIONS)
                raise RecipeError("regions", f"there is no region `{region}`", hint)
        if self.action == "mask" and "text_original" in columns.names:
            hint = "give the `normalise` before it `original: false`"
            raise RecipeError("action", "`text_original` would still hold what is masked", hint)

    def open(self) -> Op:
        def op(table: pa.Table) -> Out:
            texts = single(table["text_body"]).cast(pa.string()).to_pylist()
            found = [None if text is None else self._spans(text) for text in texts]
            told = [None if s is None else [span._asdict() for span in s] for s in found]
            columns = {
                "text_pii": pa.array(told, SPANS),
                "text_pii_count": pa.array([None if s is None else len(s) for s in found], pa.int32()),
            }
            if self.action == "mask":
                masked = [t if not s else mask(t, s) for t, s in zip(texts, found, strict=True)]
                columns["text_body"] = pa.array(masked, pa.string())
            return Out(columns)

        return op

    def _spans(self, text: str) -> list[Span]:
        """All findings in order; none overlap."""
        if not _SUSPECT.search(text):
            return []
        found: list[Span] = []
        rest = fold(text)
        named = False
        for kind in KINDS:
            if kind not in self.kinds:
                continue
            if kind in _NUMBERS and not named:
                rest, named = without_names(rest), True
            for search in self._searches(kind):
                new = list(search(rest))
                found += new
                rest = blank(rest, new)
        return sorted(found, key=lambda span: span.start)

    def _searches(self, kind: Kind) -> list[Callable[[str], Iterable[Span]]]:
        """Each sees what those before it left."""
        if kind == "id":
            return [pii_numbers.ids]
        found: dict[Kind, list[Search]] = {
            "email": [pii_address.emails],
            "iban": [pii_numbers.ibans],
            "card": [pii_numbers.cards],
            "ip": [pii_address.ips],
            "phone": [
                pii_phone.international_numbers,
                lambda text: pii_phone.national_numbers(text, self.regions),
                pii_phone.called_numbers,
            ],
        }
        return [_as_spans(kind, search) for search in found[kind]]


def _as_spans(kind: Kind, search: Search) -> Callable[[str], Iterable[Span]]:
    return lambda text: (Span(kind, start, end) for start, end in search(text))


def mask(text: str, spans: list[Span]) -> str:
    """The text with a placeholder for each span."""
    pieces, done = [], 0
    for kind, start, end in spans:
        pieces += [text[done:start], _PLACEHOLDERS.get(kind, "[ID]")]
        done = end
    return "".join([*pieces, text[done:]])
