"""The prose of the documents: paragraphs in four languages that differ from page to page."""

from __future__ import annotations

import random

from curate.demo.lexicon import WORDS

ARTICLE_LANGUAGES: tuple[tuple[str, float], ...] = (("en", 0.45), ("zh", 0.22), ("de", 0.18), ("fr", 0.15))

_SENTENCES: dict[str, tuple[str, ...]] = {
    "en": (
        "On {day} the museum in {place} counted {n} visitors, which is more than in {year}.",
        "{name} has been drawing {things} for {few} years and still finds new ones.",
        "Most people who come to {place} look for {things} first.",
        "The workshop opens at {few} o'clock and a place costs {n} crowns.",
        "In {year} the prices for pictures of {things} rose by {few} percent.",
        "According to {name}, a good picture needs no more than {few} colours.",
        "The next meeting takes place on {day} in {place}.",
        "A letter from {place}, dated {year}, mentions {n} {things} and a long winter.",
        "Nobody remembers who brought the {things} to {place}, but they have been there since {year}.",
        "If you walk from the station for {few} minutes, you will see them on your left.",
        "The older part of the collection was lost in {year}, and {name} is still looking for it.",
        "Schools may borrow up to {n} pictures at a time.",
        "What makes {things} hard to draw is that everybody knows what they look like.",
        "{name} answered our questions by letter, {n} pages in all.",
        "Between {place} and the coast there are {n} of them, but nobody has counted since {year}.",
        "The smallest of these {things} is kept behind glass, and only on {day} is it taken out.",
    ),
    "de": (
        "Am {day} zählte das Museum in {place} {n} Besucher, mehr als im Jahr {year}.",
        "{name} zeichnet seit {few} Jahren {things} und entdeckt immer noch Neues.",
        "Die meisten Gäste, die nach {place} kommen, suchen zuerst {things}.",
        "Die Werkstatt öffnet um {few} Uhr, ein Platz kostet {n} Kronen.",
        "Im Jahr {year} stiegen die Preise solcher Bilder um {few} Prozent.",
        "Nach Ansicht von {name} braucht ein gutes Bild höchstens {few} Farben.",
        "Das nächste Treffen findet am {day} in {place} statt.",
        "Ein Brief aus {place} aus dem Jahr {year} erwähnt {n} {things} und einen langen Winter.",
        "Niemand weiß mehr, wer sie nach {place} brachte, aber seit {year} sind sie dort zu sehen.",
        "Vom Bahnhof aus sind es {few} Minuten zu Fuß, immer geradeaus und dann nach links.",
        "Der ältere Teil der Sammlung ging {year} verloren, und {name} sucht noch immer danach.",
        "Schulen dürfen bis zu {n} Bilder auf einmal ausleihen.",
        "Schwierig zu zeichnen sind {things} vor allem, weil jeder sie kennt.",
        "{name} beantwortete unsere Fragen schriftlich, auf insgesamt {n} Seiten.",
    ),
    "fr": (
        "Le {day}, le musée de {place} a compté {n} visiteurs, plus qu'en {year}.",
        "{name} dessine des {things} depuis {few} ans et en découvre toujours de nouvelles formes.",
        "La plupart des gens qui viennent à {place} cherchent d'abord des {things}.",
        "L'atelier ouvre à {few} heures et une place coûte {n} couronnes.",
        "En {year}, le prix de ces images a augmenté de {few} pour cent.",
        "Selon {name}, une bonne image n'a pas besoin de plus de {few} couleurs.",
        "La prochaine réunion aura lieu {day} à {place}.",
        "Une lettre envoyée de {place} en {year} mentionne {n} {things} et un long hiver.",
        "Personne ne sait plus qui les a apportés à {place}, mais ils y sont depuis {year}.",
        "Depuis la gare, il faut marcher {few} minutes, puis tourner à gauche.",
        "La partie ancienne de la collection a disparu en {year}, et {name} la cherche encore.",
        "Les écoles peuvent emprunter jusqu'à {n} images à la fois.",
        "Les {things} sont difficiles à dessiner, car tout le monde les connaît.",
        "{name} a répondu à nos questions par écrit, en {n} pages.",
    ),
    "zh": (
        "{day}，{place}的博物馆接待了{n}位参观者，比{year}年还要多。",
        "{name}画{things}已经有{few}年了，至今仍能发现新的样子。",
        "来到{place}的人大多先去找{things}。",
        "工作室{few}点开门，每个座位收费{n}元。",
        "{year}年，画着{things}的图片价格上涨了百分之{few}。",
        "{name}认为，一幅好画最多只需要{few}种颜色。",
        "下一次聚会将于{day}在{place}举行。",
        "一封{year}年寄自{place}的信提到了{n}件与{things}有关的旧物和一个漫长的冬天。",
        "没有人记得是谁把它们带到{place}的，但从{year}年起它们就在那里了。",
        "从车站步行{few}分钟，就能在左边看到它们。",
        "收藏中较早的一部分在{year}年遗失了，{name}至今还在寻找。",
        "学校一次最多可以借{n}幅图片。",
        "{things}之所以难画，是因为人人都认识它。",
        "{name}用书信回答了我们的问题，一共写了{n}页。",
    ),
}

_PLACES = {
    "en": (
        "Aldbury",
        "Port Wenn",
        "Greystead",
        "Lower Hatch",
        "Kilmarton",
        "Ferrow",
        "Ostbridge",
        "Saint Oran",
    ),
    "de": ("Altbrück", "Neuwalde", "Kirchlinden", "Sandau", "Hohenried", "Marwitz", "Grünsee", "Tannhofen"),
    "fr": ("Valmont", "Port-Clair", "Brévigny", "Sauveterre", "Mirecourt", "Fontbelle", "Lannoy", "Beaulac"),
    "zh": ("青溪镇", "白石城", "南湾", "松林村", "云山县", "河口镇", "东岭", "柳州桥"),
}
_NAMES = {
    "en": ("Edith Marlow", "Tom Hargreave", "Nora Quill", "Samuel Orme", "Ivy Pell", "Hugh Tarrant"),
    "de": ("Greta Lindner", "Jonas Weidel", "Ruth Amsel", "Karl Oswin", "Mia Tessmer", "Emil Brandau"),
    "fr": ("Claire Aubin", "Luc Ferrand", "Odile Marsac", "Henri Vasseur", "Nina Corbel", "Paul Estève"),
    "zh": ("林小雨", "陈立文", "周明远", "吴秋月", "郑海生", "何青青"),
}
_DAYS = {
    "en": ("Monday", "Tuesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
    "fr": ("lundi", "mardi", "jeudi", "vendredi", "samedi", "dimanche"),
    "zh": ("星期一", "星期二", "星期四", "星期五", "星期六", "星期天"),
}
_TITLES = {
    "en": (
        "{Things} of {place}",
        "A short history of {things}",
        "How {name} draws {things}",
        "Looking for {things}",
        "{few} days among {things}",
        "What {things} tell us about {place}",
    ),
    "de": (
        "{Things} in {place}",
        "Eine kleine Geschichte: {things}",
        "Wie {name} zeichnet",
        "Auf der Suche: {things}",
        "{few} Tage in {place}",
    ),
    "fr": (
        "Les {things} de {place}",
        "Petite histoire des {things}",
        "Comment dessine {name}",
        "À la recherche des {things}",
        "{few} jours à {place}",
    ),
    "zh": ("{place}的{things}", "{things}小史", "{name}怎样画{things}", "寻找{things}", "在{place}的{few}天"),
}
_HEADINGS = {
    "en": (
        "The first picture",
        "Up close",
        "From the archive",
        "What to look for",
        "Colours and shapes",
        "A visit",
    ),
    "de": (
        "Das erste Bild",
        "Aus der Nähe",
        "Aus dem Archiv",
        "Worauf man achtet",
        "Farben und Formen",
        "Ein Besuch",
    ),
    "fr": (
        "La première image",
        "De près",
        "Aux archives",
        "Ce qu'il faut voir",
        "Couleurs et formes",
        "Une visite",
    ),
    "zh": ("第一幅画", "近看", "档案之中", "值得注意的地方", "颜色与形状", "一次参观"),
}
_POINTERS = {
    "en": (
        "The picture shows the following.",
        "Look at the picture next to this text.",
        "One of them can be seen here.",
    ),
    "de": (
        "Das Bild zeigt es genauer.",
        "Ein Blick auf das Bild lohnt sich.",
        "Hier ist eines davon zu sehen.",
    ),
    "fr": ("L'image le montre mieux.", "Regardez l'image ci-contre.", "En voici un exemple."),
    "zh": ("请看下面这幅图。", "图片说明了这一点。", "这里就是其中之一。"),
}


def _slots(language: str, topic_classes: tuple[str, ...], rng: random.Random) -> dict[str, str]:
    word = WORDS[language][rng.choice(topic_classes)]
    things = word.plural or word.noun
    return {
        "day": rng.choice(_DAYS[language]),
        "place": rng.choice(_PLACES[language]),
        "name": rng.choice(_NAMES[language]),
        "year": str(rng.randint(1871, 2019)),
        "n": str(rng.randint(12, 940)),
        "few": str(rng.randint(3, 11)),
        "things": things,
        "Things": things[:1].upper() + things[1:],
    }


def sentence(language: str, classes: tuple[str, ...], rng: random.Random) -> str:
    """One sentence about a topic's things."""
    return rng.choice(_SENTENCES[language]).format(**_slots(language, classes, rng))


def paragraph(language: str, classes: tuple[str, ...], rng: random.Random, about: str = "") -> str:
    """Three to six sentences; `about`, sentences on the picture next to it, is worked in near the end."""
    count = rng.randint(3, 6)
    chosen = rng.sample(_SENTENCES[language], count)
    parts = [text.format(**_slots(language, classes, rng)) for text in chosen]
    if about:
        if rng.random() < 0.5:
            parts.append(rng.choice(_POINTERS[language]))
        parts.append(about)
    return ("" if language == "zh" else " ").join(parts)


def title(language: str, classes: tuple[str, ...], rng: random.Random) -> str:
    """A page's title."""
    return rng.choice(_TITLES[language]).format(**_slots(language, classes, rng))


def heading(language: str, rng: random.Random) -> str:
    """A section's heading."""
    return rng.choice(_HEADINGS[language])


# Words around the article, which are not content.
CHROME: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "nav": ("Home", "News", "Gallery", "Shop", "About us", "Contact", "Log in"),
        "related": ("Read more articles", "You may also like", "Most popular this week"),
        "footer": ("All rights reserved.", "Privacy policy", "Terms of use", "Cookie settings"),
        "aside": ("Subscribe to our newsletter and never miss a story!", "Advertisement", "Follow us"),
    },
    "de": {
        "nav": ("Startseite", "Aktuelles", "Galerie", "Laden", "Über uns", "Kontakt", "Anmelden"),
        "related": ("Weitere Artikel", "Das könnte Sie auch interessieren", "Meistgelesen"),
        "footer": ("Alle Rechte vorbehalten.", "Datenschutz", "Impressum", "Cookie-Einstellungen"),
        "aside": ("Jetzt unseren Newsletter bestellen!", "Anzeige", "Folgen Sie uns"),
    },
    "fr": {
        "nav": ("Accueil", "Actualités", "Galerie", "Boutique", "Qui sommes-nous", "Contact", "Connexion"),
        "related": ("À lire aussi", "Vous aimerez peut-être", "Les plus lus"),
        "footer": ("Tous droits réservés.", "Confidentialité", "Mentions légales", "Gérer les cookies"),
        "aside": ("Abonnez-vous à notre lettre d'information !", "Publicité", "Suivez-nous"),
    },
    "zh": {
        "nav": ("首页", "新闻", "图库", "商店", "关于我们", "联系我们", "登录"),
        "related": ("相关文章", "猜你喜欢", "本周热门"),
        "footer": ("版权所有", "隐私政策", "使用条款", "Cookie 设置"),
        "aside": ("订阅我们的电子报，不错过任何故事！", "广告", "关注我们"),
    },
}
