"""Steps that bring a text into a plain form. Each is a pure function, linear in the text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeAlias

from stages.common.forms import normal

Step: TypeAlias = Literal[
    "mojibake", "entities", "tags", "nfc", "nfkc", "quotes", "controls", "spaces", "one_line"
]

# ftfy takes up to 4 us a character
LONGEST_REPAIR = 100_000

_ENTITY = re.compile(r"&(#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});")
_REST = re.compile(_ENTITY.pattern.removeprefix("&"))

_BLOCK = (
    "address|article|aside|blockquote|br|caption|center|dd|div|dl|dt|figcaption|figure|footer|h[1-6]|header|hr|li"
    "|main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"
)
_INLINE = (
    "a|abbr|acronym|b|bdo|big|cite|code|del|dfn|em|font|i|img|ins|kbd|label|mark|q|s|samp|small|span|strike"
    "|strong|sub|sup|tt|u|var|wbr"
)
# `[^<>]` ends at the next tag, so that what was scanned in vain is not scanned again.
_TAG = re.compile(rf"</?(?:(?P<block>{_BLOCK})|{_INLINE})(?:[\s/][^<>]{{0,2000}}+)?+>", re.IGNORECASE)

# Where joiners shape letters (Arabic to Mandaic, Indic scripts, Khmer, Mongolian ...) or join emoji.
_JOINING = (
    "\u0600-\u085f\u08a0-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1c7f\ua840-\ua8ff\ua980-\ua9df\uaa60-\uaa7f"
    "\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
    "\u00a9\u00ae\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff"
)
# Where the zero-width space tells words apart: Thai, Lao, Tibetan, Burmese, Khmer.
_BREAKING = "\u0e00-\u109f\u1780-\u17ff"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(p << 16 | 0xFFFE)}{chr(p << 16 | 0xFFFF)}" for p in range(17)
)
_CONTROL = re.compile(
    # a flag of a region (England) is spelled in tag characters; elsewhere they are hidden text
    "(?P<kept>\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)"
    # C0, C1 but for white space; soft hyphen; bidi marks; invisible operators; annotations
    "|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffc"
    f"{_NONCHARACTERS}\U000e0000-\U000e007f]"
    f"|(?<![{_JOINING}])[\u200c\u200d]"
    f"|(?<![{_BREAKING}])\u200b"
    # variation selectors: one behind what can vary, for rows of them carry hidden bytes
    "|(?:(?<=[A-Za-z\\s\ufe00-\ufe0f])|(?<![\\s\\S]))[\ufe00-\ufe0f]"
    f"|(?<![{_HAN}])[\U000e0100-\U000e01ef]"
)
_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_EMPTY_LINES = re.compile(r"\n{3,}")
_QUOTES = str.maketrans(dict.fromkeys("“”„‟", '"') | dict.fromkeys("‘’‚‛", "'"))


def entities(text: str) -> str:
    """HTML's character references as the characters they are, also where `&` itself was escaped."""
    if "&" not in text:
        return text
    out, done = [], 0
    while match := _ENTITY.search(text, done):
        out.append(text[done : match.start()])
        value, done = _character(match[1]), match.end()
        # `&amp;amp;lt;`: at once, or a text of n levels would have to be gone through n times
        while value == "&" and (match := _REST.match(text, done)):
            value, done = _character(match[1]), match.end()
        out.append(value)
    out.append(text[done:])
    return "".join(out)


@lru_cache(maxsize=4096)
def _character(name: str) -> str:
    return html.unescape(f"&{name};")


def tags(text: str) -> str:
    """Without the tags of HTML's text elements; those of blocks become a line break. No other `<...>`."""
    return _TAG.sub(lambda tag: "\n" if tag["block"] else "", text) if "<" in text else text


def controls(text: str) -> str:
    """Without control, bidi and zero-width characters, but for those that shape letters and emoji."""
    return _CONTROL.sub(r"\g<kept>", text)


def spaces(text: str) -> str:
    """Plain spaces and line breaks, one empty line at most, nothing at the ends of lines and of the text."""
    text = _SPACE.sub(" ", _BREAK.sub("\n", text))
    if "\n" in text:
        text = _EMPTY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in text.split("\n")))
    return text.strip()


def one_line(text: str) -> str:
    """Any run of white space, line breaks included, as one space, and none at the ends."""
    return " ".join(text.split())


def mojibake_fixer() -> Callable[[str], str]:
    """ftfy's repair of UTF-8 that was read as another encoding, line by line, and nothing else of it."""
    import ftfy

    config = ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        fix_surrogates=False,
        remove_control_chars=False,
        normalization=None,
    )

    def fix(text: str) -> str:
        return text if text.isascii() or len(text) > LONGEST_REPAIR else ftfy.fix_text(text, config)

    return fix


def functions(steps: tuple[Step, ...]) -> list[Callable[[str], str]]:
    """The steps' functions, in order."""
    found: dict[Step, Callable[[str], str]] = {
        "entities": entities,
        "tags": tags,
        "nfc": lambda text: normal(text, "NFC"),
        "nfkc": lambda text: normal(text, "NFKC"),
        "quotes": lambda text: text.translate(_QUOTES),
        "controls": controls,
        "spaces": spaces,
        "one_line": one_line,
    }
    if "mojibake" in steps:
        found["mojibake"] = mojibake_fixer()
    return [found[step] for step in steps]
