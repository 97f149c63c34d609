"""The catalogue: every stage there is. A stage is its class in this tuple; there is no other registry."""

from __future__ import annotations

from curate.stage import Stage
from stages.group.balance import Balance
from stages.group.component import Component
from stages.group.exact import Exact
from stages.group.mix import Mix
from stages.group.near_hash import NearHash
from stages.group.near_image import NearImage
from stages.group.near_set import NearSet
from stages.group.near_text import NearText
from stages.group.pack import Pack
from stages.group.quota import Quota
from stages.group.semantic import Semantic
from stages.image.border import Border
from stages.image.bucket_floor import BucketFloor
from stages.image.clip import Clip
from stages.image.colours import Colours
from stages.image.exposure import Exposure
from stages.image.faces import Faces
from stages.image.flatness import Flatness
from stages.image.head import Head
from stages.image.itm import Itm
from stages.image.leak_image import LeakImage
from stages.image.nsfw import Nsfw
from stages.image.ocr import Ocr
from stages.image.ocr_match import OcrMatch
from stages.image.phash import Phash
from stages.image.probe import Probe
from stages.image.sha256 import Sha256
from stages.image.sharpness import Sharpness
from stages.image.tags import Tags
from stages.keep import Keep
from stages.sample.bucket import Bucket
from stages.sample.check_format import CheckFormat
from stages.sample.digest import Digest
from stages.sample.domain import Domain
from stages.sample.drop_ids import DropIds
from stages.sample.licence import Licence
from stages.sample.pairs import Pairs
from stages.sample.shape import Shape
from stages.sample.split import Split
from stages.sample.tokens import Tokens
from stages.text.fasttext import Fasttext
from stages.text.language import Language
from stages.text.leak_text import LeakText
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
    Phash,
    Clip,
    Head,
    Itm,
    Tags,
    Ocr,
    OcrMatch,
    Nsfw,
    Faces,
    LeakImage,
    # text
    TextStats,
    Language,
    Fasttext,
    Normalise,
    WordList,
    Pii,
    LeakText,
    # sample
    Shape,
    Licence,
    CheckFormat,
    Bucket,
    BucketFloor,
    Tokens,
    Digest,
    Domain,
    DropIds,
    Split,
    Pairs,
    # group
    Exact,
    NearImage,
    NearHash,
    NearText,
    NearSet,
    Semantic,
    Component,
    Quota,
    Balance,
    Mix,
    Pack,
)
