"""Instructions a caption can be the answer to, in the caption's language.

Two pools a language: for a short caption and for a detailed description. Which phrasing a sample gets
depends on its id and the seed alone.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

Length = Literal["short", "detailed"]

DETAILED_FROM = 25  # words; two characters of Chinese or Japanese count as one

POOLS: dict[str, dict[Length, tuple[str, ...]]] = {
    "en": {
        "short": (
            "Describe this image briefly.",
            "What does this picture show?",
            "Give a short caption for this image.",
            "Summarize what you see in one sentence.",
            "Write a concise description of the picture.",
            "In a few words, what is in this image?",
            "What is shown here?",
            "Provide a brief caption for this photo.",
        ),
        "detailed": (
            "Describe this image in detail.",
            "Give a thorough description of what you see.",
            "Write a detailed description of this picture.",
            "Explain in detail what is shown in the image.",
            "Take a close look at the image and describe everything of note.",
            "What can be seen in this picture? Please be specific.",
            "Walk me through the contents of this image.",
            "Provide a comprehensive description of the scene.",
        ),
    },
    "zh": {
        "short": (
            "请简要描述这张图片。",
            "这张图片里有什么？",
            "用一句话概括图中的内容。",
            "请为这张图片写一个简短的标题。",
            "图中展示的是什么？",
            "简单说说你看到了什么。",
        ),
        "detailed": (
            "请详细描述这张图片。",
            "请仔细观察图片，并说明其中的细节。",
            "请具体介绍图中的内容。",
            "请对这张图片做一个全面的描述。",
            "图片中有哪些值得注意的地方？请详细说明。",
            "请尽可能详细地描述你所看到的画面。",
        ),
    },
    "ja": {
        "short": (
            "この画像を簡潔に説明してください。",
            "この写真には何が写っていますか。",
            "画像の内容を一文で述べてください。",
        ),
        "detailed": (
            "この画像を詳しく説明してください。",
            "画像の様子をできるだけ具体的に述べてください。",
            "写真の細部まで説明してください。",
        ),
    },
    "ko": {
        "short": (
            "이 이미지를 간단히 설명해 주세요.",
            "이 사진에는 무엇이 있나요?",
            "이미지의 내용을 한 문장으로 요약해 주세요.",
        ),
        "detailed": (
            "이 이미지를 자세히 설명해 주세요.",
            "사진에 보이는 것을 구체적으로 묘사해 주세요.",
            "이미지의 세부 사항까지 설명해 주세요.",
        ),
    },
    "de": {
        "short": (
            "Beschreibe dieses Bild kurz.",
            "Was ist auf diesem Bild zu sehen?",
            "Fasse das Bild in einem Satz zusammen.",
        ),
        "detailed": (
            "Beschreibe dieses Bild ausführlich.",
            "Was ist im Einzelnen zu sehen? Bitte genau.",
            "Gib eine detaillierte Beschreibung des Bildes.",
        ),
    },
    "fr": {
        "short": (
            "Décris brièvement cette image.",
            "Que montre cette image ?",
            "Résume l'image en une phrase.",
        ),
        "detailed": (
            "Décris cette image en détail.",
            "Que voit-on précisément sur cette image ?",
            "Donne une description complète de la scène.",
        ),
    },
    "es": {
        "short": (
            "Describe brevemente esta imagen.",
            "¿Qué muestra esta imagen?",
            "Resume la imagen en una frase.",
        ),
        "detailed": (
            "Describe esta imagen en detalle.",
            "Explica con detalle lo que se ve en la imagen.",
            "Da una descripción completa de la escena.",
        ),
    },
    "it": {
        "short": (
            "Descrivi brevemente questa immagine.",
            "Che cosa mostra questa immagine?",
            "Riassumi l'immagine in una frase.",
        ),
        "detailed": (
            "Descrivi questa immagine in dettaglio.",
            "Che cosa si vede nell'immagine? Sii preciso.",
            "Fornisci una descrizione completa della scena.",
        ),
    },
    "pt": {
        "short": (
            "Descreva brevemente esta imagem.",
            "O que esta imagem mostra?",
            "Resuma a imagem em uma frase.",
        ),
        "detailed": (
            "Descreva esta imagem em detalhes.",
            "Explique detalhadamente o que aparece na imagem.",
            "Dê uma descrição completa da cena.",
        ),
    },
    "ru": {
        "short": (
            "Кратко опишите это изображение.",
            "Что показано на этой картинке?",
            "Опишите изображение одним предложением.",
        ),
        "detailed": (
            "Подробно опишите это изображение.",
            "Расскажите в деталях, что видно на картинке.",
            "Дайте полное описание сцены.",
        ),
    },
    "ar": {
        "short": ("صف هذه الصورة باختصار.", "ماذا تُظهر هذه الصورة؟", "لخّص محتوى الصورة في جملة واحدة."),
        "detailed": ("صف هذه الصورة بالتفصيل.", "اشرح بدقة ما يظهر في الصورة.", "قدّم وصفًا شاملًا للمشهد."),
    },
}

# First match decides; kana before Han, as Japanese has both.
_SCRIPTS = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7af]")),
    ("zh", re.compile(r"[\u3400-\u9fff\U00020000-\U0003134f]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
)
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003134f]")


def language_of(text: str, declared: str | None = None) -> str:
    """A language there are phrasings for: the declared one, else by script, else English."""
    code = re.split(r"[-_]", (declared or "").lower())[0]
    if code in POOLS:
        return code
    return next((language for language, letters in _SCRIPTS if letters.search(text)), "en")


def length_of(text: str) -> Length:
    """Whether a caption answers a brief or a detailed question."""
    words = len(_DENSE.sub(" ", text).split()) + len(_DENSE.findall(text)) // 2
    return "detailed" if words >= DETAILED_FROM else "short"


def instruction(sample_id: str, text: str, language: str | None, seed: int) -> str:
    """The phrasing for a caption, by hash of id and seed."""
    pool = POOLS[language_of(text, language)][length_of(text)]
    digest = hashlib.sha256(f"{seed}\0{sample_id}".encode()).digest()
    return pool[int.from_bytes(digest[:8], "big") % len(pool)]
