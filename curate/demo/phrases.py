"""Sentence frames of every caption language. Slots: {what}, a noun phrase; {what:acc}, in the accusative."""

from __future__ import annotations

# The case that the long openers and the logo frames put {what} in (only German shows it).
WORLD_CASE = {"en": "nom", "zh": "nom", "de": "acc", "fr": "nom", "es": "nom", "ja": "nom"}

PLAIN: dict[str, tuple[str, ...]] = {
    "en": (
        "{what}",
        "{what}",
        "a picture of {what}",
        "an image showing {what}",
        "this picture shows {what}",
        "there you can see {what}",
        "illustration with {what}",
        "drawing of {what}",
    ),
    "zh": (
        "{what}",
        "{what}",
        "图中有{what}",
        "一张画着{what}的图片",
        "画面上是{what}",
        "我们可以看到{what}",
    ),
    "de": (
        "{what}",
        "{what}",
        "das Bild zeigt {what:acc}",
        "hier sieht man {what:acc}",
        "auf dem Bild sieht man {what:acc}",
        "eine Zeichnung zeigt {what:acc}",
    ),
    "fr": ("{what}", "{what}", "l'image montre {what}", "on voit {what}", "ce dessin représente {what}"),
    "es": (
        "{what}",
        "{what}",
        "la imagen muestra {what}",
        "vemos {what} en el dibujo",
        "en la imagen hay {what}",
    ),
    "ja": ("{what}", "{what}", "{what}の絵", "{what}を描いた画像", "{what}のイラスト"),
}

LONG_OPENERS: dict[str, tuple[str, ...]] = {
    "en": (
        "this is {style} of {what}.",
        "the picture is {style} that shows {what}.",
        "here we see {style} with {what}.",
        "{style} of {what}.",
    ),
    "zh": (
        "这是一幅{style}，画的是{what}。",
        "图片是一幅{style}，上面有{what}。",
        "这幅{style}展示了{what}。",
    ),
    "de": (
        "wir sehen {style}. Das Bild zeigt {what}.",
        "hier sieht man {style}. Die Szene zeigt {what}.",
        "man sieht {style}. Darauf erkennt man {what}.",
    ),
    "fr": (
        "voici {style} qui montre {what}.",
        "on voit {style} représentant {what}.",
        "il s'agit d'{style} avec {what}.",
    ),
    "es": (
        "esto es {style} con {what}.",
        "vemos {style} que muestra {what}.",
        "aquí se ve {style} que representa {what}.",
    ),
    "ja": (
        "これは{what}の{style}です。",
        "この{style}には、{what}が描かれています。",
        "{what}を描いた{style}です。",
    ),
}

ON_BACKGROUND = {
    "en": "on a {colour} background",
    "zh": "在{colour}背景上的",
    "de": "auf {colour} Hintergrund",
    "fr": "sur fond {colour}",
    "es": "sobre un fondo {colour}",
    "ja": "{colour}背景に",
}
LANDSCAPE_IN = {
    "en": "in front of {view}",
    "zh": "在{view}前面的",
    "de": "(im Hintergrund: {view})",
    "fr": "avec {view} en arrière-plan",
    "es": "con {view} al fondo",
    "ja": "{view}を背景に",
}

# A sentence of its own: on a plain background ({tail} or {colour}), and on a landscape ({view}).
BACKGROUND_SENTENCES = {
    "en": ("Everything is shown {tail}.", "The background shows {view}."),
    "zh": ("背景是{colour}的。", "背景是{view}。"),
    "de": ("Alles ist {tail} dargestellt.", "Im Hintergrund: {view}."),
    "fr": ("Le tout est représenté {tail}.", "À l'arrière-plan, on voit {view}."),
    "es": ("Todo aparece {tail}.", "El fondo muestra {view}."),
    "ja": ("全体が{tail}描かれています。", "背景は{view}です。"),
}

# Per language: terrains, times, frames for a landscape without objects.
LANDSCAPES: dict[str, tuple[dict[str, str], dict[str, str], tuple[str, ...]]] = {
    "en": (
        {
            "mountains": "mountains",
            "sea": "the sea",
            "hills": "green hills",
            "desert": "a sandy desert",
            "forest": "a fir forest",
        },
        {
            "noon": "under a clear blue sky",
            "sunset": "at sunset",
            "night": "on a starry night",
            "fog": "in the fog",
        },
        (
            "{terrain} {time}",
            "a view of {terrain} {time}",
            "a landscape with {terrain} {time}",
            "we see {terrain} {time}",
        ),
    ),
    "zh": (
        {"mountains": "群山", "sea": "大海", "hills": "绿色的丘陵", "desert": "沙漠", "forest": "杉树林"},
        {"noon": "晴空下", "sunset": "日落时", "night": "星空下", "fog": "雾中"},
        ("{time}的{terrain}", "{time}的{terrain}风景", "一幅{time}的{terrain}画面"),
    ),
    "de": (
        {
            "mountains": "Berge",
            "sea": "das Meer",
            "hills": "grüne Hügel",
            "desert": "eine Sandwüste",
            "forest": "ein Tannenwald",
        },
        {
            "noon": "unter klarem blauem Himmel",
            "sunset": "bei Sonnenuntergang",
            "night": "unter Sternen",
            "fog": "im Nebel",
        },
        ("{terrain} {time}", "eine Landschaft: {terrain} {time}", "Landschaftsbild, {terrain} {time}"),
    ),
    "fr": (
        {
            "mountains": "des montagnes",
            "sea": "la mer",
            "hills": "des collines vertes",
            "desert": "un désert de sable",
            "forest": "une forêt de sapins",
        },
        {
            "noon": "sous un ciel bleu",
            "sunset": "au coucher du soleil",
            "night": "par une nuit étoilée",
            "fog": "dans le brouillard",
        },
        ("{terrain} {time}", "une vue sur {terrain} {time}", "un paysage avec {terrain} {time}"),
    ),
    "es": (
        {
            "mountains": "montañas",
            "sea": "el mar",
            "hills": "colinas verdes",
            "desert": "un desierto de arena",
            "forest": "un bosque de abetos",
        },
        {
            "noon": "bajo un cielo azul",
            "sunset": "al atardecer",
            "night": "en una noche estrellada",
            "fog": "en la niebla",
        },
        ("{terrain} {time}", "un paisaje con {terrain} {time}", "vista: {terrain} {time}"),
    ),
    "ja": (
        {"mountains": "山々", "sea": "海", "hills": "緑の丘", "desert": "砂漠", "forest": "モミの森"},
        {"noon": "青空の下の", "sunset": "夕暮れの", "night": "星空の下の", "fog": "霧の中の"},
        ("{time}{terrain}", "{time}{terrain}の風景", "{time}{terrain}を描いた画像"),
    ),
}

SUN: dict[str, dict[tuple[str, str], str]] = {
    "en": {
        ("sun", "left"): "with the sun on the left",
        ("sun", "right"): "with the sun on the right",
        ("moon", "left"): "with the moon on the left",
        ("moon", "right"): "with the moon on the right",
    },
    "zh": {
        ("sun", "left"): "太阳在左边",
        ("sun", "right"): "太阳在右边",
        ("moon", "left"): "月亮在左边",
        ("moon", "right"): "月亮在右边",
    },
    "de": {
        ("sun", "left"): "die Sonne steht links",
        ("sun", "right"): "die Sonne steht rechts",
        ("moon", "left"): "der Mond steht links",
        ("moon", "right"): "der Mond steht rechts",
    },
    "fr": {
        ("sun", "left"): "avec le soleil à gauche",
        ("sun", "right"): "avec le soleil à droite",
        ("moon", "left"): "avec la lune à gauche",
        ("moon", "right"): "avec la lune à droite",
    },
    "es": {
        ("sun", "left"): "con el sol a la izquierda",
        ("sun", "right"): "con el sol a la derecha",
        ("moon", "left"): "con la luna a la izquierda",
        ("moon", "right"): "con la luna a la derecha",
    },
    "ja": {
        ("sun", "left"): "太陽は左側",
        ("sun", "right"): "太陽は右側",
        ("moon", "left"): "月は左側",
        ("moon", "right"): "月は右側",
    },
}

LOGOS: dict[str, tuple[str, ...]] = {
    "en": ("a logo with {what} and the word “{text}”", "Logo: {what} above the word “{text}”."),
    "zh": ("标志：{what}，下面写着“{text}”", "一个带有{what}和文字“{text}”的标志"),
    "de": (
        "Das Logo zeigt {what} und das Wort „{text}“.",
        "ein Logo; man sieht {what} über dem Wort „{text}“",
    ),
    "fr": ("un logo avec {what} et le mot « {text} »", "Logo : {what} au-dessus du mot « {text} »."),
    "es": ("un logotipo con {what} y la palabra «{text}»", "Logotipo: {what} encima de la palabra «{text}»."),
    "ja": ("{what}と「{text}」という文字のロゴ", "ロゴ：{what}の下に「{text}」の文字。"),
}

SIGNS: dict[str, tuple[str, ...]] = {
    "en": (
        "{what} that reads “{text}”",
        "{what} with the words “{text}”",
        "a picture of {what} saying “{text}”",
        "we see {what} on which “{text}” is written",
    ),
    "zh": ("{what}，上面写着“{text}”", "{what}，文字是“{text}”", "图中是{what}，写着“{text}”"),
    "de": (
        "{what} mit der Aufschrift „{text}“",
        "man sieht {what:acc} mit dem Text „{text}“",
        "{what}, darauf steht „{text}“",
    ),
    "fr": (
        "{what} où l'on lit « {text} »",
        "{what} avec l'inscription « {text} »",
        "on voit {what} qui dit « {text} »",
    ),
    "es": ("{what} que dice «{text}»", "{what} con el texto «{text}»", "se ve {what} donde se lee «{text}»"),
    "ja": (
        "「{text}」と書かれた{what}",
        "{what}に「{text}」と書いてある",
        "「{text}」という文字のある{what}",
    ),
}
SIGN_MORE = {
    "en": "Below it says {rest}.",
    "zh": "下面还有{rest}。",
    "de": "Darunter steht {rest}.",
    "fr": "En dessous, on lit {rest}.",
    "es": "Debajo se lee {rest}.",
    "ja": "その下には{rest}とあります。",
}

CHART_FORMS: dict[str, dict[str, str]] = {
    "en": {
        "bar": "a horizontal bar chart",
        "column": "a bar chart",
        "line": "a line chart",
        "pie": "a pie chart",
    },
    "zh": {"bar": "横向条形图", "column": "柱状图", "line": "折线图", "pie": "饼图"},
    "de": {
        "bar": "ein Balkendiagramm",
        "column": "ein Säulendiagramm",
        "line": "ein Liniendiagramm",
        "pie": "ein Kreisdiagramm",
    },
    "fr": {
        "bar": "un graphique à barres horizontales",
        "column": "un graphique en colonnes",
        "line": "un graphique en courbe",
        "pie": "un diagramme circulaire",
    },
    "es": {
        "bar": "un gráfico de barras horizontales",
        "column": "un gráfico de columnas",
        "line": "un gráfico de líneas",
        "pie": "un gráfico circular",
    },
    "ja": {"bar": "横棒グラフ", "column": "棒グラフ", "line": "折れ線グラフ", "pie": "円グラフ"},
}
# Per language: short frame, full frame, one label with its value.
CHARTS: dict[str, tuple[str, str, str]] = {
    "en": ("{form} titled “{title}”", "{form} titled “{title}”: {values}.", "{label} {value}"),
    "zh": ("标题为“{title}”的{form}", "标题为“{title}”的{form}：{values}。", "{label}为{value}"),
    "de": ("{form} mit dem Titel „{title}“", "{form} mit dem Titel „{title}“: {values}.", "{label} {value}"),
    "fr": ("{form} intitulé « {title} »", "{form} intitulé « {title} » : {values}.", "{label} {value}"),
    "es": ("{form} titulado «{title}»", "{form} titulado «{title}»: {values}.", "{label} {value}"),
    "ja": ("「{title}」という{form}", "「{title}」という{form}：{values}。", "{label}は{value}"),
}

FOREIGN: dict[str, dict[str, tuple[str, ...]]] = {
    "ru": {
        "objects": (
            "На картинке можно увидеть следующее: {what}.",
            "Цветной рисунок, на котором есть {what}.",
        ),
        "text": ("На картинке написано: «{text}».", "Здесь можно прочитать слова «{text}»."),
        "other": ("Красивая картинка для нашего сайта, без подписи.", "Изображение из архива газеты."),
        "join": (", ",),
    },
    "ar": {
        "objects": ("نرى في هذه الصورة: {what}.", "صورة ملونة فيها {what}."),
        "text": ("مكتوب في الصورة: «{text}».", "يمكننا أن نقرأ هنا «{text}»."),
        "other": ("صورة جميلة من موقعنا بدون تعليق.", "صورة من أرشيف الجريدة."),
        "join": (" و",),
    },
    "ko": {
        "objects": ("이 그림에서 볼 수 있는 것: {what}.", "색칠한 그림 속에 있는 것들은 {what}입니다."),
        "text": ("그림에 “{text}”라고 쓰여 있습니다.", "여기에서 “{text}”라는 글자를 읽을 수 있습니다."),
        "other": ("우리 사이트에 있는 아름다운 그림입니다.", "신문사 자료실에서 가져온 사진입니다."),
        "join": (", ",),
    },
}
