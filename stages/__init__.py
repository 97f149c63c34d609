"""The catalogue: every stage there is. A stage is its class in this tuple; there is no other registry."""

from __future__ import annotations

from curate.stage import Stage
from stages.group.exact import Exact
from stages.image.border import Border
from stages.image.clip import Clip
from stages.image.colours import Colours
from stages.image.exposure import Exposure
from stages.image.faces import Faces
from stages.image.flatness import Flatness
from stages.image.head import Head
from stages.image.itm import Itm
from stages.image.nsfw import Nsfw
from stages.image.ocr import Ocr
from stages.image.ocr_match import OcrMatch
from stages.image.probe import Probe
from stages.image.sha256 import Sha256
from stages.image.sharpness import Sharpness
from stages.image.tags import Tags
from stages.keep import Keep
from stages.sample.check_format import CheckFormat
from stages.sample.digest import Digest
from stages.sample.licence import Licence
from stages.sample.pairs import Pairs
from stages.sample.shape import Shape
from stages.text.fasttext import Fasttext
from stages.text.language import Language
from stages.text.normalise import Normalise
from stages.text.pii import Pii
from stages.text.text_stats import TextStats
from stages.text.word_list import WordList

STAGES: tuple[type[Stage], ...] = (
    Keep,
    # image
    Probe,
    Sha256,
    Sharpness,
    Flatness,
    Exposure,
    Colours,
    Border,
    Clip,
    Head,
    Itm,
    Tags,
    Ocr,
    OcrMatch,
    Nsfw,
    Faces,
    # text
    TextStats,
    Language,
    Fasttext,
    Normalise,
    WordList,
    Pii,
    # sample
    Shape,
    Licence,
    CheckFormat,
    Digest,
    Pairs,
    # group
    Exact,
)
