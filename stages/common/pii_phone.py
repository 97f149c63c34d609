"""Telephone numbers in a folded text, by the numbering plans that libphonenumber knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from stages.common.pii_text import said_before, scan

# ASCII throughout: Chinese goes on without a space before and behind a number.
_START = r"(?<![\w+#=$€£¥])(?<!\d[.,:/-])"
_END = r"(?![\w%°€£¥$]|[.,:/-]\d| ?[x*] ?\d| ?(?:px|cm|mm|km|kg|mb|gb|usd|eur|euro?s?)\b)"
_SEPARATOR = r"[ .\-/()]"
_NOT_DIGIT, _NOT_DIGITS = re.compile(r"\D"), re.compile(r"\D+")
_LAST_OF_GROUP = re.compile(r"\d(?!\d)", re.ASCII)
_INTERNATIONAL = re.compile(
    rf"(?<![\w+])(?:\(?\+ ?|00(?=[1-9]\d{{0,2}}{_SEPARATOR}))\(?[1-9](?:{_SEPARATOR}{{0,3}}\d){{6,16}}(?!\w)",
    re.ASCII,
)
# Ways to write national numbers: (shape, region; `0`: those whose trunk prefix it is, whether the numbering
# plan is asked too, or the shape says enough).
_STYLES: tuple[tuple[str, str, bool], ...] = (
    (r"(?:1[ .-]?)?\(\d{3}\) ?[.-]?\d{3}[ .-]\d{4}", "US", False),
    (r"(?:1[.-])?[2-9]\d{2}(?P<a>[.-])\d{3}(?P=a)\d{4}", "US", False),
    (r"(?:1 )?[2-9]\d{2} \d{3}[ -]\d{4}", "US", True),
    (r"\(?0[1-9]\d{0,4}\)?(?:[ .\-/]{1,3}\(?\d{1,8}\)?){1,4}", "0", True),
    (r"1[3-9]\d{9}|1[3-9]\d(?P<b>[ -])\d{4}(?P=b)\d{4}", "CN", True),
    (r"[6-9]\d{4}[ -]\d{5}", "IN", True),
    (r"\([1-9]\d\) ?9?\d{4}[ -]\d{4}", "BR", True),
    (r"[6-9]\d{2} \d{2} \d{2} \d{2}", "ES", True),
    (r"8[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]\d{2}[ -]?\d{2}", "RU", True),
)
# Any digits with separators, where a word before calls them a telephone number.
_CALLED = re.compile(rf"(?<![\w+])\(?\d(?:{_SEPARATOR}{{0,2}}\d){{6,14}}(?![\w%]|[.,:/-]\d)", re.ASCII)
_WORD = (
    r"(?<![a-z])(?:tele(?:ph|f)o(?:n|ne|no|on)|t[eé]l[eé]?f?|phone|ph|mob(?:ile|il)?|cell(?:ulare)?|fax"
    r"|call(?: \w+){0,3}|(?:ring|text|sms|dial)(?: \w+)?|whats ?app|handy|m[oó]vil|celular|wechat|viber"
    r"|hotline|fono|rufnummer)"
    r"|电话|電話|手机|手機|联系方式|热线|传真|致电|微信|携帯|연락처|전화|휴대폰|тел|[☎☏✆📞📱📠]"
)
_ANY_WORD = re.compile(_WORD, re.IGNORECASE)
_WORD_BEFORE = re.compile(
    rf"(?:{_WORD})(?: ?(?:no|nr|number|nummer|号码|番号))?(?: (?:is|ist|est|es|at))?"
    r"[\s.:：=#/()\ufe0f-]{0,4}$",
    re.IGNORECASE,
)
# What is written like a number to call, and is none.
_NO_NUMBER = re.compile(
    r"\(?(?:(?:1[89]|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:1[89]|20)\d\d(?!\d)"
    r"|(?:1[89]|20)\d\d\)?[ ./-]{1,3}\(?(?:1[89]|20)\d\d(?!\d)"
    r"|0\d{4}-\d{4}(?![ .-]?\d))",  # a ZIP code of New England
    re.ASCII,
)
_OTHER_NUMBER = re.compile(
    r"(?:isbn|issn|ean|upc|gtin|asin|sku|doi|serial|imei|part|model|item|order)(?:-?1[03])?"
    r"(?: (?:no|nr|number))?[ .:#-]{0,4}$",
    re.IGNORECASE,
)
_KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "pager", "uan", "voicemail"),
)


def _metadata(region: str) -> Any:
    """What libphonenumber knows of a region, or of a calling code that is no country's (as digits)."""
    from phonenumbers import PhoneMetadata

    if region.isdigit():
        return PhoneMetadata.metadata_for_nongeo_region(int(region))
    return PhoneMetadata.metadata_for_region(region)


@lru_cache(maxsize=256)
def _plan(region: str) -> re.Pattern[str]:
    """The national numbers that a region's numbering plan has, of any kind."""
    metadata = _metadata(region)
    patterns = {d.national_number_pattern for k in _KINDS if (d := getattr(metadata, k)) is not None}
    return re.compile("|".join(sorted(p for p in patterns if p)))


@lru_cache(maxsize=256)
def _lengths(code: int) -> tuple[tuple[str, ...], frozenset[int]]:
    """The regions of a calling code (as `_plan` names them), and how long national numbers may be there."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    regions = COUNTRY_CODE_TO_REGION_CODE.get(code, ())
    if not regions:
        return (), frozenset()
    names = (str(code),) if regions == ("001",) else tuple(regions)
    return names, frozenset(_metadata(names[0]).general_desc.possible_length)


def international(number: str) -> bool:
    """Whether digits behind a `+` are a number of some country; as libphonenumber's `is_valid_number`."""
    for size in (1, 2, 3):
        regions, lengths = _lengths(int(number[:size]))
        if regions:
            national = number[size:]
            return len(national) in lengths and any(_plan(r).fullmatch(national) for r in regions)
    return False


def _spelled(number: str) -> str | None:
    """The digits of an international number behind `+` or `00`; None for a number that is in no plan."""
    digits = _NOT_DIGIT.sub("", number.replace("(0)", "")).removeprefix("00")
    if international(digits):
        return digits
    # "+44 020 ...": the trunk prefix, which is to be left out
    for size in (1, 2, 3):
        if digits[size : size + 1] == "0" and international(digits[:size] + digits[size + 1 :]):
            return digits
    return None


def _looks_international(number: str) -> bool:
    """Whether a number has a calling code, a length that is possible there, and is set apart in groups."""
    digits = _NOT_DIGIT.sub("", number.replace("(0)", "")).removeprefix("00")
    groups = number.strip("+( ")
    for size in (1, 2, 3):
        regions, lengths = _lengths(int(digits[:size]))
        if regions:
            return len(digits) >= 10 and len(digits) - size in lengths and not groups.isdigit()
    return False


def _longest(found: str, accept: Callable[[str], object]) -> int:
    """Length of the longest beginning, of whole groups of digits, that is accepted; 0 where none is."""
    for group in reversed(list(_LAST_OF_GROUP.finditer(found))):
        if accept(found[: group.end()]):
            return group.end()
    return 0


@lru_cache(maxsize=4096)
def _international(found: str) -> int:
    """Length of the number that begins so; 0: none."""
    return _longest(found, _spelled) or _longest(found, _looks_international)


class _National(NamedTuple):
    """The ways of some regions to write numbers, as one pattern."""

    pattern: re.Pattern[str]
    plans: dict[str, re.Pattern[str]]  # by name of the group; none: the shape says enough
    trunk: tuple[tuple[int, re.Pattern[str]], ...]  # digits before the national number, and the plan


@lru_cache(maxsize=16)
def _national(regions: tuple[str, ...]) -> _National | None:
    prefixes = {region: _metadata(region).national_prefix for region in regions}
    # where there is none (Italy), a leading 0 is part of the number
    trunk = tuple((int(p == "0"), _plan(r)) for r, p in prefixes.items() if p in ("0", None))
    shapes, plans = [], {}
    for i, (shape, region, planned) in enumerate(_STYLES):
        if region in regions or (region == "0" and trunk):
            shapes.append(f"(?P<s{i}>{shape})")
            if planned and region != "0":
                plans[f"s{i}"] = _plan(region)
    if not shapes:
        return None
    pattern = re.compile(rf"{_START}(?=\(?\d)(?:{'|'.join(shapes)}){_END}", re.ASCII | re.IGNORECASE)
    return _National(pattern, plans, trunk)


def _fits(regions: tuple[str, ...], match: re.Match[str]) -> int:
    """Length of the telephone number that a match of the regions' pattern begins with; 0: it is none."""
    size = _planned(regions, match[0], match.lastgroup or "")
    other = size and (_NO_NUMBER.match(match.string, match.start()) or said_before(_OTHER_NUMBER, match))
    return 0 if other else size


@lru_cache(maxsize=4096)
def _planned(regions: tuple[str, ...], found: str, style: str) -> int:
    national = _national(regions)
    assert national is not None, "a match comes out of its pattern"
    if found.startswith(("0", "(0")):
        return _longest(found, lambda number: _is_trunk(national, number))
    digits = _NOT_DIGIT.sub("", found)
    plan = national.plans.get(style)
    return len(found) if plan is None or plan.fullmatch(digits) or plan.fullmatch(digits[1:]) else 0


def _is_trunk(national: _National, number: str) -> bool:
    groups = _NOT_DIGITS.split(number.strip("()"))
    digits = "".join(groups)
    if not 9 <= len(digits) <= 12 or len(groups) < 2 or _even([int(g) for g in groups]):
        return False
    return any(plan.fullmatch(digits[cut:]) for cut, plan in national.trunk)


def _even(groups: Sequence[int]) -> bool:
    """Whether the groups are a sequence (01 02 03 04 05), and not a number."""
    steps = {b - a for a, b in pairwise(groups)}
    return len(groups) > 2 and len(steps) == 1 and max(steps) <= 10


def international_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Numbers behind `+` or `00`, of any country."""
    return _unbracketed(text, _beginnings(_INTERNATIONAL, text, lambda match: _international(match[0])))


def national_numbers(text: str, regions: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Numbers as they are written within some regions."""
    national = _national(regions)
    if national is not None:
        yield from _unbracketed(
            text, _beginnings(national.pattern, text, lambda match: _fits(regions, match))
        )


def called_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Any digits that a word before them calls a telephone number."""
    if _ANY_WORD.search(text):
        yield from _unbracketed(text, scan(_CALLED, text, _is_called))


def _unbracketed(text: str, found: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same without a bracket that is closed behind the number only: `(030 1234567)`."""
    for start, end in found:
        yield start + (text[start] == "(" and ")" not in text[start:end]), end


def _beginnings(
    pattern: re.Pattern[str], text: str, measure: Callable[[re.Match[str]], int]
) -> Iterator[tuple[int, int]]:
    """What `measure` leaves of each match; where that is nothing, the search goes on a character later."""
    place = 0
    while match := pattern.search(text, place):
        size = measure(match)
        if size:
            yield match.start(), match.start() + size
        place = match.start() + (size or 1)


def _is_called(match: re.Match[str]) -> bool:
    return said_before(_WORD_BEFORE, match) and not _NO_NUMBER.match(match.string, match.start())
