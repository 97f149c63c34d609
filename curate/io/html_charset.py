"""Which character set a page is in.

The order is the HTML standard's (byte order mark, then what the server said, then the page's own meta), with
two departures. Bytes that are valid UTF-8 are read as UTF-8 even where a single-byte charset is declared:
text in such a charset is hardly ever valid UTF-8 by chance, while servers that stamp `iso-8859-1` on
everything are common. And a page that declares nothing and is not UTF-8 goes to charset_normalizer, not to a
locale's default.
"""

from __future__ import annotations

import codecs
import re

import charset_normalizer

# Only these are ever decoded: a page must not choose Python's other codecs (punycode is quadratic,
# unicode_escape interprets, utf_7 hides markup). Values: the codec that the HTML standard reads the label as.
_CODECS = {
    "utf-8": "utf-8",
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "shift_jis": "cp932",
    "cp932": "cp932",
    "euc_jp": "euc_jp",
    "iso2022_jp": "iso2022_jp",
    "euc_kr": "cp949",
    "cp949": "cp949",
    "utf-16": "utf-16-le",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "cp866": "cp866",
    "cp874": "cp874",
    "mac-roman": "mac-roman",
    "mac-cyrillic": "mac-cyrillic",
    **{f"iso8859-{n}": f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"cp125{n}": f"cp125{n}" for n in range(9)},
}
_LABELS = {"x-sjis": "cp932", "windows-31j": "cp932", "x-gbk": "gbk", "macintosh": "mac-roman"}
_LABELS |= {"x-mac-cyrillic": "mac-cyrillic", "windows-874": "cp874", "x-cp1251": "cp1251"}

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(rb"""<meta\s[^<>]*?charset\s*=\s*["']?\s*([\w.:+-]{1,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml\s[^<>]*?encoding\s*=\s*["']([\w.:+-]{1,40})["']""")

_PRESCAN = 4096  # the standard looks at 1,024 bytes; scripts before the meta are common enough
_DETECT = 1 << 16  # charset_normalizer's time grows with the bytes, its certainty hardly past this
_FALLBACK = "cp1252"  # the standard's own for Western locales; decodes nearly any byte


def known_charset(label: str | None) -> str | None:
    """The codec for a label from a header or a page, None for one that we don't read."""
    if not label:
        return None
    name = label.strip().strip("\"'").lower()
    try:
        found = codecs.lookup(_LABELS.get(name, name)).name
    except (LookupError, ValueError):  # ValueError: a null byte in the label
        return None
    return _CODECS.get(found)


def _meta_charset(html: bytes) -> str | None:
    head = html[:_PRESCAN]
    match = _META.search(head) or _XML.search(head)
    charset = known_charset(match.group(1).decode("ascii")) if match else None
    # The meta was readable as ASCII, so the page can't be in what it claims; the standard says UTF-8 then.
    return "utf-8" if charset in ("utf-16-le", "utf-16-be") else charset


def _detect(html: bytes) -> str:
    """A guess for bytes that declare nothing and aren't UTF-8."""
    best = charset_normalizer.from_bytes(
        html[:_DETECT], steps=5, chunk_size=512, cp_isolation=sorted(set(_CODECS.values()) - {"utf-8"})
    ).best()
    return (known_charset(best.encoding) if best else None) or _FALLBACK


def _strict(html: bytes, charset: str) -> str | None:
    try:
        return html.decode(charset)
    except (UnicodeDecodeError, UnicodeError):
        return None


def decode(html: bytes, declared: str | None = None) -> tuple[str, str, bool]:
    """The text, the codec that gave it, and whether some bytes had to be replaced. Never raises."""
    for bom, charset in _BOMS:
        if html.startswith(bom):
            text = _strict(html[len(bom) :], charset)
            if text is not None:
                return text, charset, False
            return html[len(bom) :].decode(charset, errors="replace"), charset, True
    if html.startswith((b"<\0", b"\0<")):
        charset = "utf-16-le" if html.startswith(b"<") else "utf-16-be"
        return html.decode(charset, errors="replace"), charset, _strict(html, charset) is None

    claimed = known_charset(declared) or _meta_charset(html)
    # Only where it can't be wrong to try: iso-2022-jp and UTF-16 may be valid UTF-8 and yet not mean it.
    if claimed is None or claimed == "utf-8" or claimed.startswith(("cp", "iso8859", "koi8", "mac")):
        text = _strict(html, "utf-8")
        if text is not None:
            # All-ASCII bytes read the same in these, so the declared name is the honest one to report.
            return text, claimed if claimed and html.isascii() else "utf-8", False
    charset = claimed or _detect(html)
    text = _strict(html, charset)
    if text is not None:
        return text, charset, False
    # One bad byte must not cost the page: keep what its author or the detection says, and flag it.
    return html.decode(charset, errors="replace"), charset, True
