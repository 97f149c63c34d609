"""Payment cards, bank accounts and national identity numbers in a folded text: by shape, check digits, words.

Check digits are python-stdnum's, which has them from the issuers' documents. A number whose shape and check
digits a random number passes less than once in a thousand stands for itself; others need a word beside them
that says what they are. American and British numbers have no check digits: there the grouping that nothing
else has (536-22-8726, AB 12 34 56 C) or a word decides.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from stages.common.pii_text import Span, said, scan

# Digits that go on, decimals and parts of words are no number of their own. ASCII: Chinese may stand before.
START, END = r"(?<![\w$€£¥])(?<!\d[.,:/-])", r"(?!\w|[.,:/-]\d)"
_NOT_DIGIT = re.compile(r"\D")
_DIGITS = re.compile(r"\d{4}[ -]?\d{4}", re.ASCII)

_CARD = re.compile(
    rf"{START}(?:\d{{4}}([ -])\d{{4}}\1\d{{4}}\1\d{{4}}(?:\1\d{{3}})?|\d{{4}}([ -])\d{{6}}\2\d{{4,5}}"
    rf"|\d{{14,19}}){END}",
    re.ASCII,
)
# Issuers' prefixes and lengths (ISO/IEC 7812, as the issuers publish their ranges). Visa's 13 digits are out
# of use, and would be taken for the article numbers (EAN) of Germany and Japan.
_ISSUER = re.compile(
    r"4(?:\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:6\d|8\d|0[0-5])\d{11}"  # Diners
    r"|(?:6011|65\d\d|64[4-9]\d)\d{12}"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|62\d{14,17}"  # UnionPay
    r"|220[0-4]\d{12}"  # Mir
)


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Numbers of payment cards: an issuer's prefix and length, and Luhn's check digit."""
    from stdnum import luhn

    def is_card(match: re.Match[str]) -> bool:
        digits = _NOT_DIGIT.sub("", match[0])
        return _ISSUER.fullmatch(digits) is not None and bool(luhn.is_valid(digits))

    return scan(_CARD, text, is_card) if _DIGITS.search(text) else iter(())


_IBAN_START = re.compile(r"[A-Z]{2} ?\d ?\d[ \dA-Z]{8}", re.ASCII)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@lru_cache(maxsize=1)
def _iban() -> re.Pattern[str]:
    """Every country's account number as ISO 13616's registry has it, a space perhaps before any character."""
    from stdnum import numdb

    kinds = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
    shapes = []
    for country in (a + b for a in _LETTERS for b in _LETTERS):
        structure = numdb.get("iban").info(country)[0][1].get("bban", "")
        parts = re.findall(r"(\d+)!([nac])", structure)
        if parts:
            shapes.append(f"{country} ?\\d ?\\d" + "".join(f"(?: ?{kinds[k]}){{{n}}}" for n, k in parts))
    return re.compile(rf"(?<!\w)(?=[A-Z]{{2}} ?\d)(?:{'|'.join(shapes)})(?!\w)", re.ASCII)


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """International bank account numbers: a country's own shape, and remainder 1 by 97."""
    if _IBAN_START.search(text):
        yield from scan(_iban(), text, lambda match: _is_iban(match[0]))


@lru_cache(maxsize=4096)
def _is_iban(number: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(number, check_country=False))


class _Id(NamedTuple):
    kind: str
    module: str  # of stdnum; `nino`, which it lacks, is checked here
    words: str = ""  # one of them must stand beside it; none: it stands for itself


_SSN = r"\bssn\b|social security|\btax id"
_CPF, _NHS, _SIN = r"\bcpf\b|pessoa física", r"\bnhs\b", r"\bsin\b|social insurance|\bnas\b"
_BSN, _PESEL = r"\bbsn\b|burgerservice|sofi", r"pesel"
_IDNR = r"\bid-?nr|steuer-?id|identifikationsnummer|\btin\b"
_AADHAAR = r"aadhaa?r|\buid(?:ai)?\b|आधार"
_DNI = r"\b(?:dni|nif|nie)\b|documento"
_NINO = r"\bnino\b|national insurance|\bni (?:no|number)"
_PERSON = r"personn(?:umme)?r|\bpnr\b|samordningsn"

# (shape, what a number of that shape may be). Of several shapes the longest that fits comes first.
_SHAPES: tuple[tuple[str, tuple[_Id, ...]], ...] = (
    (r"\d{6} ?(?:19|20)\d{6} ?\d{3}[\dXx]", (_Id("cn_id", "cn.ric"),)),
    (r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}", (_Id("fr_nir", "fr.nir"),)),
    (r"[A-Z]{3} ?[A-Z]{3} ?[0-9L-V]{2}[A-EHLMPRST][0-9L-V]{2} ?[A-Z][0-9L-V]{3}[A-Z]",
        (_Id("it_cf", "it.codicefiscale"),)),
    (r"\d{3}\.\d{3}\.\d{3}-\d{2}", (_Id("br_cpf", "br.cpf"),)),
    (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", (_Id("be_nn", "be.nn"),)),
    (r"\d{6}-\d{7}", (_Id("kr_rrn", "kr.rrn"),)),
    (r"\d{6}[-+A]\d{3}[\dA-FHJ-NPR-Y]",
        (_Id("fi_hetu", "fi.hetu"), _Id("se_pnr", "se.personnummer", _PERSON))),
    (r"\d{8}-\d{4}", (_Id("se_pnr", "se.personnummer", _PERSON),)),
    (r"\d{4}(?P<a>[ -])\d{4}(?P=a)\d{4}", (_Id("in_aadhaar", "in_.aadhaar", _AADHAAR),)),
    (r"\d{3}(?P<b>[ -])\d{3}(?P=b)\d{4}", (_Id("gb_nhs", "gb.nhs", _NHS),)),
    (r"\d{2} \d{3} \d{3} \d{3}", (_Id("de_idnr", "de.idnr", _IDNR),)),
    (r"\d{3}-\d{2}-\d{4}", (_Id("us_ssn", "us.ssn"),)),
    (r"\d{3} \d{2} \d{4}", (_Id("us_ssn", "us.ssn", _SSN),)),
    (r"\d{3}(?P<c>[ -])\d{3}(?P=c)\d{3}", (_Id("ca_sin", "ca.sin", _SIN),)),
    (r"[A-Z]{2} \d{2} \d{2} \d{2} [A-D]", (_Id("gb_nino", "nino"),)),
    (r"[A-Z]{2}\d{6} ?[A-D]", (_Id("gb_nino", "nino", _NINO),)),
    (r"\d{2}\.?\d{3}\.?\d{3}[ -]?[A-Z]", (_Id("es_dni", "es.dni", _DNI),)),
    (r"[XYZ][ -]?\d{7}[ -]?[A-Z]", (_Id("es_dni", "es.nie", _DNI),)),
    (r"\d{9}-\d{2}", (_Id("br_cpf", "br.cpf", _CPF),)),
    (r"\d{12}", (_Id("in_aadhaar", "in_.aadhaar", _AADHAAR),)),
    (r"\d{11}", (_Id("de_idnr", "de.idnr", _IDNR), _Id("pl_pesel", "pl.pesel", _PESEL),
        _Id("br_cpf", "br.cpf", _CPF))),
    (r"\d{10}", (_Id("gb_nhs", "gb.nhs", _NHS),)),
    (r"\d{9}", (_Id("us_ssn", "us.ssn", _SSN), _Id("nl_bsn", "nl.bsn", _BSN), _Id("ca_sin", "ca.sin", _SIN))),
)  # fmt: skip
_ANY_ID = re.compile(
    START
    + r"(?=\d[ \d]|[A-Z]{2}|[XYZ][ \d-])(?:"
    + "|".join(f"(?P<s{i}>{shape})" for i, (shape, _) in enumerate(_SHAPES))
    + f"){END}",
    re.ASCII,
)
# Prefixes that His Majesty's Revenue and Customs does not use (NIM39110).
_NINO_SHAPE = re.compile(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]")


@lru_cache(maxsize=64)
def _check(module: str) -> Callable[[str], bool]:
    """Whether a number is valid, as a module of stdnum says."""
    if module == "nino":
        return lambda number: _NINO_SHAPE.fullmatch(number.replace(" ", "")) is not None
    found: Callable[[str], bool] = importlib.import_module(f"stdnum.{module}").is_valid
    return lru_cache(maxsize=4096)(found)


@lru_cache(maxsize=64)
def _words(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE | re.ASCII)


def ids(text: str) -> Iterator[Span]:
    """National identity numbers."""
    found: dict[int, str] = {}
    told: dict[str, bool] = {"": True}  # whether the text says such words at all

    def named(words: str, match: re.Match[str]) -> bool:
        if words not in told:
            told[words] = _words(words).search(text) is not None
        return told[words] and (not words or said(_words(words), match))

    def is_id(match: re.Match[str]) -> bool:
        for kind, module, words in _SHAPES[int((match.lastgroup or "s0")[1:])][1]:
            if named(words, match) and _check(module)(match[0]):
                found[match.start()] = kind
                return True
        return False

    for start, end in scan(_ANY_ID, text, is_id):
        yield Span(found[start], start, end)
