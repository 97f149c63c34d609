"""What each finding of an audit means, and what trainers do about it, as read in their code.

Trainers are named by family: LLaVA (1.0 and 1.5, ShareGPT4V), LLaVA-NeXT (and OneVision), Qwen-VL (the
fine-tuning of Qwen2-VL, Qwen2.5-VL and Qwen3-VL), InternVL (1.5 to 3), MiniCPM-V, LLaMA-Factory, ms-swift and
TRL; webdataset and Energon are loaders of pairs.
"""

from __future__ import annotations

from typing import NamedTuple

_NEIGHBOUR = "the row is replaced by its neighbour without a word, which is then seen twice"
_SWAPPED = f"LLaVA-NeXT, Qwen-VL: {_NEIGHBOUR}"
_SWAPPED_AT_RANDOM = "InternVL, MiniCPM-V: the row is replaced by a random one without a word"
_DIES = "LLaVA: the run dies when it comes to this row"


class Told(NamedTuple):
    """One code in words."""

    what: str
    trainers: tuple[str, ...]  # "who: what happens" each


CONSEQUENCES: dict[str, Told] = {
    # -- rows -----------------------------------------------------------------------------------------------
    "bad_json": Told(
        "the row cannot be parsed, or the array around it is broken",
        ("LLaVA, LLaVA-NeXT, Qwen-VL: an array with one broken row is not loaded at all",),
    ),
    "line_too_large": Told("the row is larger than is read", ()),
    "unreadable_file": Told("the file is damaged from here on", ("all: the file is not loaded",)),
    "not_an_object": Told("the row is no JSON object", ("all: the run dies, or the row is dropped",)),
    "no_conversation": Told(
        "there is no list of turns, or nothing in it",
        (
            "LLaVA, LLaVA-NeXT: the run dies (KeyError, or zero length where rows are grouped by length)",
            "ms-swift: the row is dropped",
        ),
    ),
    "other_media": Told("the row has video or audio, which is not looked at here", ()),
    "not_finite": Told(
        "NaN or Infinity, which JSON does not have", ("all but Python: the file is not parsed",)
    ),
    "bad_id": Told(
        "the id is missing, null or not plain ASCII",
        ("all: nothing breaks, but nobody can say which row it was",),
    ),
    "length_field": Told(
        "a field called `length`",
        ("InternVL: taken for the number of tokens where rows are grouped by length, whatever it means",),
    ),
    # -- turns ----------------------------------------------------------------------------------------------
    "not_text": Told(
        "the content of a turn is no text",
        (
            f"{_DIES}; with `null` ms-swift drops the row",
            _SWAPPED,
            _SWAPPED_AT_RANDOM,
        ),
    ),
    "empty_turn": Told(
        "a turn without text",
        (
            "LLaVA, LLaVA-NeXT: a conversation of empty turns stops the run (zero length)",
            "all: trained to answer nothing, or to answer to nothing",
        ),
    ),
    "bad_roles": Told(
        "roles do not alternate from a question to an answer, or one is unknown",
        (
            "LLaVA: KeyError or AssertionError; a first turn of `gpt` is dropped without a word",
            "Qwen-VL: whatever is not `human` is trained as an answer, system prompts too",
            "MiniCPM-V: the row is replaced by a random one without a word",
            "LLaMA-Factory: the row is dropped with a warning",
        ),
    ),
    "system_turn": Told(
        "a system prompt in LLaVA's format",
        (
            "LLaVA: KeyError",
            "LLaVA-NeXT: the turn is ignored",
            "Qwen-VL: the prompt is trained as an answer",
            "InternVL: KeyError but with the template internvl2_5",
        ),
    ),
    "reserved_token": Told(
        "a trainer's own token as plain text",
        (
            "LLaVA: `</s>` and ` ASSISTANT: ` mask the whole row, with no more than a printed warning",
            "InternVL: `</img>` and its like make the image count wrong, and a random row is taken",
            "Qwen-VL, ms-swift: the token stands for an image, a box or the end of a turn",
        ),
    ),
    # -- images of a row ------------------------------------------------------------------------------------
    "marker_missing": Told(
        "images, and no <image> in the text",
        (
            "LLaVA: trained as text, the image is not seen",
            f"Qwen-VL: {_NEIGHBOUR}",
            "InternVL, ms-swift: a marker is put in front (InternVL: for a single image only)",
            "LLaMA-Factory: preprocessing stops (ValueError)",
        ),
    ),
    "marker_count": Told(
        "more or fewer <image> than images",
        (
            "LLaVA: markers of one turn become one, those of two turns shift the images of the whole batch",
            f"Qwen-VL: {_NEIGHBOUR}",
            "InternVL: with too few a random row is taken, with too many they are read as text",
            "LLaMA-Factory: preprocessing stops (ValueError)",
            "ms-swift: what is missing is put in front, what is too many is read as text",
        ),
    ),
    "marker_in_answer": Told(
        "<image> in an answer",
        (
            "LLaVA: the image is put into the answer",
            "Qwen-VL: not read as an image; its checker refuses the row",
            "InternVL: older templates put the image there",
        ),
    ),
    "marker_position": Told(
        "<image> amid a text or in a later turn",
        (
            "LLaVA, LLaVA-NeXT: moved to the front of its turn, and the sentence around it has a hole",
            "InternVL: a second marker is put into the first turn, and a random row is taken",
            "MiniCPM-V: markers of later turns are read as text",
        ),
    ),
    "null_image": Told(
        "an image field of null or nothing, instead of none",
        (
            "LLaVA: the run dies (TypeError)",
            "InternVL: `null` kills the worker, in the very handler of errors",
            "TRL: a null list is not taken for a row of text alone",
        ),
    ),
    "bad_image": Told("what names an image is no path", (_DIES, _SWAPPED, _SWAPPED_AT_RANDOM)),
    "several_images": Told(
        "a list of images",
        (
            "LLaVA: the run dies (a list is no path)",
            "LLaVA-NeXT: with more than one, each is seen in low resolution",
            "MiniCPM-V: replaced by a random row; it wants a mapping of markers to paths",
        ),
    ),
    "absolute_path": Told("an absolute path", ("all: it leads nowhere on another machine",)),
    "url_path": Told(
        "a URL for a path",
        ("LLaVA, LLaVA-NeXT, Qwen-VL, InternVL: looked for as a file below the image folder",),
    ),
    "backslash_path": Told("a Windows path", ("all: no such file but on Windows",)),
    "missing_image": Told("there is no such image file", (_DIES, _SWAPPED, _SWAPPED_AT_RANDOM)),
    "outside_root": Told("the path leads out of the set's folder; nothing there is read", ()),
    "remote_image": Told("the image is a URL; `remote: keep` and a `fetch` node would get it", ()),
    "inline_image": Told("the image is within the JSON (`data:`), which is not read", ()),
    # -- pairs ----------------------------------------------------------------------------------------------
    "missing_text": Told("there is no text", ()),
    "several_texts": Told("more than one text", ()),
    "not_utf8": Told("the text is not UTF-8", ("webdataset: the decoder raises",)),
    "text_too_large": Told("the text is larger than is read", ()),
    "cut_short": Told("the archive ends within the sample", ()),
    "duplicate_member": Told(
        "two members of one name in a sample", ("webdataset: ValueError, duplicate file name in tar",)
    ),
    "unreadable_archive": Told(
        "the archive is damaged from here on", ("Energon: the whole shard is skipped",)
    ),
    "missing_column": Told("the file lacks a column that is read", ()),
    "junk_text": Told("a text that tells nothing of its image", ("all: learnt as a description",)),
    # -- image files ----------------------------------------------------------------------------------------
    "corrupt": Told("the image cannot be decoded", (_DIES, _SWAPPED, _SWAPPED_AT_RANDOM)),
    "truncated": Told("the image ends early", (_DIES, _SWAPPED, _SWAPPED_AT_RANDOM)),
    "empty": Told("the image file is empty", (_DIES, _SWAPPED, _SWAPPED_AT_RANDOM)),
    "missing": Told("the image is not there", (_DIES, _SWAPPED, _SWAPPED_AT_RANDOM)),
    "bomb": Told("the image declares more pixels than are decoded", ("all: memory, or Pillow's refusal",)),
    "oversized": Told("the image file is larger than is read", ()),
    "not_rgb": Told(
        "an image that is not RGB",
        ('all: `convert("RGB")` alone: CMYK comes out in other colours, 16 bits come out white',),
    ),
    "alpha": Told(
        "an image with transparent pixels",
        ('all: `convert("RGB")` shows what lies beneath, often black; Qwen-VL puts it on white',),
    ),
    "turned": Told(
        "an EXIF orientation",
        ("LLaVA: ignored, the picture is learnt lying or upside down",),
    ),
    "animated": Told("more than one frame", ("all: the first is seen",)),
    "small_side": Told("a side of less than 28 pixels", ("Qwen-VL: refused or blown up, by version",)),
    "extreme_ratio": Told(
        "a side more than 200 times the other",
        ("Qwen-VL: ValueError, the row is replaced by its neighbour without a word",),
    ),
    # -- texts ----------------------------------------------------------------------------------------------
    "empty_text": Told("a text of nothing", ("all: trained to say nothing",)),
    "control_character": Told("control characters", ("all: noise that is learnt",)),
    "replacement_character": Told("U+FFFD, a sign of a wrong decoding", ("all: noise that is learnt",)),
    "too_long": Told(
        "more tokens than fit, by estimate",
        (
            "LLaVA: the end is cut off",
            "InternVL, MiniCPM-V: where image tokens are cut, a random row is taken",
            "TRL: ValueError where image tokens are cut",
        ),
    ),
    # -- between rows ---------------------------------------------------------------------------------------
    "duplicate_sample": Told(
        "the same images and texts as another row", ("all: seen as often as it is there",)
    ),
    "duplicate_id": Told("the id of another row", ("all: rows cannot be told apart in logs and joins",)),
}


def told(code: str) -> Told:
    """A code in words; one of the recipe's own stages has none."""
    known = CONSEQUENCES.get(code)
    if known is not None:
        return known
    return Told("a stage failed on it" if code.startswith("error.") else "", ())
