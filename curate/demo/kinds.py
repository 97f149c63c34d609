"""The catalogue of planted defects: how many of each kind, and which findings count as catching it."""

from __future__ import annotations

BLOCK = 250  # pairs per tar; every block of this many samples holds exactly the counts below

DOTTED_COUNT = 4  # samples per block whose file names hold several dots

# Defects of pairs, per 250 samples (42.4 % in all).
PAIR_COUNTS: tuple[tuple[str, int], ...] = (
    ("exact_duplicate_image", 10),
    ("near_duplicate_image", 12),
    ("near_duplicate_caption", 5),
    ("swapped_caption", 8),
    ("wrong_object", 7),
    ("wrong_attribute", 7),
    ("wrong_relation", 5),
    ("junk_caption", 9),
    ("empty_caption", 3),
    ("foreign_caption", 5),
    ("tiny", 4),
    ("extreme_aspect", 3),
    ("corrupt", 3),
    ("truncated", 4),
    ("zero_byte", 2),
    ("bomb", 1),
    ("non_utf8_caption", 3),
    ("missing_image", 2),
    ("missing_caption", 2),
    ("personal_data", 3),
    ("low_quality", 5),
    ("watermark", 3),
)

DOCUMENT_BLOCK = 40
# Whole-document defects, per 40 documents (25 %).
DOCUMENT_COUNTS: tuple[tuple[str, int], ...] = (
    ("exact_duplicate_document", 2),
    ("near_duplicate_document", 2),
    ("empty_document", 1),
    ("no_images", 1),
    ("no_text", 1),
    ("undeclared_charset", 1),
    ("declared_charset", 2),
)
# Image defects within documents, per 40 documents: in how many documents one content image has it.
DOCUMENT_IMAGE_COUNTS: tuple[tuple[str, int], ...] = (
    ("broken_link", 4),
    ("corrupt_image", 3),
    ("tiny_image", 2),
    ("duplicate_image", 2),
)

# What counts as catching a kind: a pattern searched in "node:reason" of a ledger row. A kind whose damage is
# met by more than one kind of check (a truncated picture may be called corrupt) lists all of them.
_MISMATCH = r"clip|align|similarity|mismatch|itm|contradict|halluc|unsupported|unfaithful|judge|mllm|verif"

CAUGHT_BY: dict[str, str] = {
    "exact_duplicate_image": r"duplicate",
    "near_duplicate_image": r"duplicate",
    "near_duplicate_caption": r"(text|caption|minhash).*duplicate|duplicate.*(text|caption)",
    "swapped_caption": _MISMATCH,
    "wrong_object": _MISMATCH + r"|object",
    "wrong_attribute": _MISMATCH + r"|attribute|colou?r|(?<!pii_)count",
    "wrong_relation": _MISMATCH + r"|relation",
    "junk_caption": r"junk|boilerplate|repe(at|tit)|symbol|special_char|alnum|alpha|url|file_?name|hashtag"
    r"|stop_?word|(text|caption)_(length|quality|len)|words|chars|characters|tokens|perplexity|gopher|lang",
    "empty_caption": r"empty|(text|caption)_len|words|chars|missing",
    "foreign_caption": r"lang|script|foreign",
    "tiny": r"image_(width|height|short_side|long_side|pixels|area|min_side|size)\.below_min|too_small|tiny",
    "extreme_aspect": r"aspect",
    "corrupt": r"corrupt|truncated|undecodable|decode|not_an_image|unidentified|format",
    "truncated": r"truncated|corrupt|decode",
    "zero_byte": r"empty|zero|corrupt|missing|decode",
    "bomb": r"bomb|pixels.*above_max|image_(width|height|long_side|area)\.above_max|too_large",
    "non_utf8_caption": r"utf8|utf-8|encoding|charset",
    "missing_image": r"missing|no_image|empty",
    "missing_caption": r"missing|no_text|no_caption|empty",
    "personal_data": r"pii|personal|e_?mail|phone|privacy",
    "low_quality": r"blur|sharp|noise|image_quality|aesthetic|entropy|contrast|compress|jpeg|detail|flat",
    "watermark": r"watermark",
    "tar_truncated": r"truncated|cut_short|corrupt|missing|incomplete",
    "exact_duplicate_document": r"duplicate",
    "near_duplicate_document": r"duplicate",
    "empty_document": r"empty|no_content|missing|no_(text|image)|words|chars|text_length",
    "no_images": r"no_image|image_count|images\.below_min|missing|empty",
    "no_text": r"no_text|no_pair|empty|(text|document)_len|words|chars|text_length|missing",
    "undeclared_charset": r"utf8|utf-8|encoding|charset|language",
    "boilerplate_image": r"boilerplate|repeat|frequen|duplicate|below_min|aspect|small|tiny|logo|icon|decor",
    "tracker": r"tracker|below_min|small|tiny|boilerplate|repeat|frequen|duplicate|remote|missing|fetch",
    "broken_link": r"missing|broken|not_found|unreadable|unresolved|remote|fetch",
    "corrupt_image": r"corrupt|decode|undecodable|truncated",
    "tiny_image": r"below_min|small|tiny",
    "duplicate_image": r"duplicate",
}
