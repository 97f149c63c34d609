"""Words: every class in every caption language, with what its grammar needs.

A row: class | English plural | Chinese noun, measure word | German noun, gender, plural |
French noun, gender, plural | Spanish noun, gender, plural | Japanese noun, counter |
Russian | Arabic | Korean.
"""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGES = ("en", "zh", "de", "fr", "es", "ja")
FOREIGN_LANGUAGES = ("ru", "ar", "ko")  # never the language of a clean caption

_ROWS = """
apple|apples|苹果,个|Apfel,m,Äpfel|pomme,f,pommes|manzana,f,manzanas|リンゴ,個|яблоко|تفاحة|사과
pear|pears|梨,个|Birne,f,Birnen|poire,f,poires|pera,f,peras|洋ナシ,個|груша|كمثرى|배
tree|trees|树,棵|Baum,m,Bäume|arbre,m,arbres|árbol,m,árboles|木,本|дерево|شجرة|나무
flower|flowers|花,朵|Blume,f,Blumen|fleur,f,fleurs|flor,f,flores|花,輪|цветок|زهرة|꽃
mushroom|mushrooms|蘑菇,个|Pilz,m,Pilze|champignon,m,champignons|seta,f,setas|キノコ,本|гриб|فطر|버섯
cactus|cacti|仙人掌,棵|Kaktus,m,Kakteen|cactus,m,cactus|cactus,m,cactus|サボテン,本|кактус|صبار|선인장
leaf|leaves|叶子,片|Blatt,n,Blätter|feuille,f,feuilles|hoja,f,hojas|葉っぱ,枚|лист|ورقة شجر|나뭇잎
house|houses|房子,座|Haus,n,Häuser|maison,f,maisons|casa,f,casas|家,軒|дом|بيت|집
car|cars|汽车,辆|Auto,n,Autos|voiture,f,voitures|coche,m,coches|車,台|машина|سيارة|자동차
bus|buses|公共汽车,辆|Bus,m,Busse|bus,m,bus|autobús,m,autobuses|バス,台|автобус|حافلة|버스
boat|boats|帆船,艘|Boot,n,Boote|bateau,m,bateaux|barco,m,barcos|ヨット,隻|лодка|قارب|돛단배
rocket|rockets|火箭,枚|Rakete,f,Raketen|fusée,f,fusées|cohete,m,cohetes|ロケット,台|ракета|صاروخ|로켓
balloon|balloons|气球,个|Ballon,m,Ballons|ballon,m,ballons|globo,m,globos|風船,個|воздушный шар|بالون|풍선
cat|cats|猫,只|Katze,f,Katzen|chat,m,chats|gato,m,gatos|猫,匹|кошка|قطة|고양이
dog|dogs|狗,只|Hund,m,Hunde|chien,m,chiens|perro,m,perros|犬,匹|собака|كلب|개
fish|fish|鱼,条|Fisch,m,Fische|poisson,m,poissons|pez,m,peces|魚,匹|рыба|سمكة|물고기
bird|birds|鸟,只|Vogel,m,Vögel|oiseau,m,oiseaux|pájaro,m,pájaros|鳥,羽|птица|طائر|새
butterfly|butterflies|蝴蝶,只|Schmetterling,m,Schmetterlinge|papillon,m,papillons|mariposa,f,mariposas|蝶,匹|бабочка|فراشة|나비
rabbit|rabbits|兔子,只|Kaninchen,n,Kaninchen|lapin,m,lapins|conejo,m,conejos|ウサギ,羽|кролик|أرنب|토끼
cup|cups|杯子,个|Tasse,f,Tassen|tasse,f,tasses|taza,f,tazas|カップ,個|чашка|كوب|컵
bottle|bottles|瓶子,个|Flasche,f,Flaschen|bouteille,f,bouteilles|botella,f,botellas|瓶,本|бутылка|زجاجة|병
book|books|书,本|Buch,n,Bücher|livre,m,livres|libro,m,libros|本,冊|книга|كتاب|책
clock|clocks|时钟,个|Uhr,f,Uhren|horloge,f,horloges|reloj,m,relojes|時計,個|часы|ساعة|시계
lamp|lamps|台灯,盏|Lampe,f,Lampen|lampe,f,lampes|lámpara,f,lámparas|ランプ,台|лампа|مصباح|램프
chair|chairs|椅子,把|Stuhl,m,Stühle|chaise,f,chaises|silla,f,sillas|椅子,脚|стул|كرسي|의자
table|tables|桌子,张|Tisch,m,Tische|table,f,tables|mesa,f,mesas|テーブル,台|стол|طاولة|탁자
hat|hats|帽子,顶|Hut,m,Hüte|chapeau,m,chapeaux|sombrero,m,sombreros|帽子,個|шляпа|قبعة|모자
umbrella|umbrellas|雨伞,把|Regenschirm,m,Regenschirme|parapluie,m,parapluies|paraguas,m,paraguas|傘,本|зонт|مظلة|우산
key|keys|钥匙,把|Schlüssel,m,Schlüssel|clé,f,clés|llave,f,llaves|鍵,本|ключ|مفتاح|열쇠
star|stars|星星,颗|Stern,m,Sterne|étoile,f,étoiles|estrella,f,estrellas|星,個|звезда|نجمة|별
heart|hearts|心形,个|Herz,n,Herzen|cœur,m,cœurs|corazón,m,corazones|ハート,個|сердце|قلب|하트
moon|moons|月牙,个|Mond,m,Monde|croissant de lune,m,croissants de lune|luna,f,lunas|三日月,個|месяц|هلال|초승달
candle|candles|蜡烛,支|Kerze,f,Kerzen|bougie,f,bougies|vela,f,velas|ロウソク,本|свеча|شمعة|양초
envelope|envelopes|信封,个|Briefumschlag,m,Briefumschläge|enveloppe,f,enveloppes|sobre,m,sobres|封筒,枚|конверт|ظرف|봉투
box|boxes|箱子,个|Kiste,f,Kisten|boîte,f,boîtes|caja,f,cajas|箱,個|коробка|صندوق|상자
frame|frames|相框,个|Bilderrahmen,m,Bilderrahmen|cadre,m,cadres|marco,m,marcos|額縁,個|рамка|إطار|액자
circle|circles|圆形,个|Kreis,m,Kreise|cercle,m,cercles|círculo,m,círculos|円,個|круг|دائرة|원
square|squares|正方形,个|Quadrat,n,Quadrate|carré,m,carrés|cuadrado,m,cuadrados|四角形,個|квадрат|مربع|사각형
triangle|triangles|三角形,个|Dreieck,n,Dreiecke|triangle,m,triangles|triángulo,m,triángulos|三角形,個|треугольник|مثلث|삼각형
snail|snails|蜗牛,只|Schnecke,f,Schnecken|escargot,m,escargots|caracol,m,caracoles|カタツムリ,匹|улитка|حلزون|달팽이
bicycle|bicycles|自行车,辆|Fahrrad,n,Fahrräder|vélo,m,vélos|bicicleta,f,bicicletas|自転車,台|велосипед|دراجة|자전거
ice cream|ice creams|冰淇淋,个|Eis,n,Eis|glace,f,glaces|helado,m,helados|アイスクリーム,個|мороженое|مثلجات|아이스크림
kite|kites|风筝,只|Drachen,m,Drachen|cerf-volant,m,cerfs-volants|cometa,f,cometas|凧,枚|воздушный змей|طائرة ورقية|연
ladder|ladders|梯子,架|Leiter,f,Leitern|échelle,f,échelles|escalera,f,escaleras|はしご,本|лестница|سلم|사다리
robot|robots|机器人,个|Roboter,m,Roboter|robot,m,robots|robot,m,robots|ロボット,台|робот|روبوت|로봇
guitar|guitars|吉他,把|Gitarre,f,Gitarren|guitare,f,guitares|guitarra,f,guitarras|ギター,本|гитара|قيثارة|기타
bench|benches|长椅,张|Bank,f,Bänke|banc,m,bancs|banco,m,bancos|ベンチ,台|скамейка|مقعد طويل|벤치
hexagon|hexagons|六边形,个|Sechseck,n,Sechsecke|hexagone,m,hexagones|hexágono,m,hexágonos|六角形,個|шестиугольник|مسدس|육각형
sign|signs|牌子,块|Schild,n,Schilder|panneau,m,panneaux|letrero,m,letreros|看板,枚|вывеска|لافتة|간판
poster|posters|海报,张|Plakat,n,Plakate|affiche,f,affiches|cartel,m,carteles|ポスター,枚|плакат|ملصق|포스터
note|notes|便条,张|Zettel,m,Zettel|feuille de papier,f,feuilles de papier|nota,f,notas|メモ用紙,枚|записка|ملاحظة|쪽지
"""  # noqa: E501 - a table


@dataclass(frozen=True)
class Word:
    """A noun of one language; gender and plural are "" where the language has none, `counter` likewise."""

    noun: str
    gender: str = ""
    plural: str = ""
    counter: str = ""


def _parse() -> dict[str, dict[str, Word]]:
    words: dict[str, dict[str, Word]] = {language: {} for language in (*LANGUAGES, *FOREIGN_LANGUAGES)}
    for line in _ROWS.strip().splitlines():
        name, plural, *cells = line.split("|")
        words["en"][name] = Word(name, plural=plural)
        for language, cell in zip(("zh", "de", "fr", "es", "ja"), cells[:5], strict=True):
            noun, *rest = cell.split(",")
            words[language][name] = Word(noun, *rest) if len(rest) == 2 else Word(noun, counter=rest[0])
        for language, cell in zip(FOREIGN_LANGUAGES, cells[5:], strict=True):
            words[language][name] = Word(cell)
    return words


WORDS = _parse()

# Colour adjectives. German: the stem (None would not decline); French and Spanish: masculine and feminine,
# singular and plural; Japanese: the form that stands before a noun, and the one that ends a sentence.
GERMAN_COLOURS = {
    "red": "rot",
    "orange": "orangefarben",
    "yellow": "gelb",
    "green": "grün",
    "blue": "blau",
    "purple": "violett",
    "pink": "rosafarben",
    "brown": "braun",
    "black": "schwarz",
    "white": "weiß",
    "gray": "grau",
}
FRENCH_COLOURS = {  # m, f, m plural, f plural
    "red": ("rouge", "rouge", "rouges", "rouges"),
    "orange": ("orange", "orange", "orange", "orange"),
    "yellow": ("jaune", "jaune", "jaunes", "jaunes"),
    "green": ("vert", "verte", "verts", "vertes"),
    "blue": ("bleu", "bleue", "bleus", "bleues"),
    "purple": ("violet", "violette", "violets", "violettes"),
    "pink": ("rose", "rose", "roses", "roses"),
    "brown": ("marron", "marron", "marron", "marron"),
    "black": ("noir", "noire", "noirs", "noires"),
    "white": ("blanc", "blanche", "blancs", "blanches"),
    "gray": ("gris", "grise", "gris", "grises"),
}
SPANISH_COLOURS = {
    "red": ("rojo", "roja", "rojos", "rojas"),
    "orange": ("naranja", "naranja", "naranjas", "naranjas"),
    "yellow": ("amarillo", "amarilla", "amarillos", "amarillas"),
    "green": ("verde", "verde", "verdes", "verdes"),
    "blue": ("azul", "azul", "azules", "azules"),
    "purple": ("morado", "morada", "morados", "moradas"),
    "pink": ("rosa", "rosa", "rosas", "rosas"),
    "brown": ("marrón", "marrón", "marrones", "marrones"),
    "black": ("negro", "negra", "negros", "negras"),
    "white": ("blanco", "blanca", "blancos", "blancas"),
    "gray": ("gris", "gris", "grises", "grises"),
}
CHINESE_COLOURS = {
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "blue": "蓝色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "black": "黑色",
    "white": "白色",
    "gray": "灰色",
}
JAPANESE_COLOURS = {
    "red": "赤い",
    "orange": "オレンジ色の",
    "yellow": "黄色い",
    "green": "緑色の",
    "blue": "青い",
    "purple": "紫色の",
    "pink": "ピンク色の",
    "brown": "茶色の",
    "black": "黒い",
    "white": "白い",
    "gray": "灰色の",
}

STYLE_NAMES: dict[str, dict[str, str]] = {
    "en": {
        "flat": "a flat illustration",
        "outline": "a cartoon with black outlines",
        "sketch": "a hand-drawn sketch",
        "shaded": "a shaded digital drawing",
        "textured": "a textured print",
        "pixel": "a piece of pixel art",
        "hatched": "a hatched drawing",
        "stippled": "a stippled drawing",
    },
    "zh": {
        "flat": "扁平插画",
        "outline": "黑色描边的卡通画",
        "sketch": "手绘草图",
        "shaded": "带明暗的数字绘画",
        "textured": "带纹理的版画",
        "pixel": "像素画",
        "hatched": "排线画",
        "stippled": "点画",
    },
    "de": {  # accusative
        "flat": "eine flächige Illustration",
        "outline": "einen Cartoon mit schwarzen Umrissen",
        "sketch": "eine Handskizze",
        "shaded": "eine schattierte digitale Zeichnung",
        "textured": "einen Druck mit grober Struktur",
        "pixel": "ein Pixelbild",
        "hatched": "eine schraffierte Zeichnung",
        "stippled": "eine gepunktete Zeichnung",
    },
    "fr": {
        "flat": "une illustration en aplats",
        "outline": "un dessin aux contours noirs",
        "sketch": "un croquis à main levée",
        "shaded": "un dessin numérique ombré",
        "textured": "une estampe texturée",
        "pixel": "une image en pixel art",
        "hatched": "un dessin hachuré",
        "stippled": "un dessin en pointillé",
    },
    "es": {
        "flat": "una ilustración plana",
        "outline": "una caricatura con contornos negros",
        "sketch": "un boceto a mano alzada",
        "shaded": "un dibujo digital sombreado",
        "textured": "un grabado con textura",
        "pixel": "una imagen de arte de píxeles",
        "hatched": "un dibujo con rayado",
        "stippled": "un dibujo punteado",
    },
    "ja": {
        "flat": "フラットなイラスト",
        "outline": "黒い輪郭線のイラスト",
        "sketch": "手描きのスケッチ",
        "shaded": "陰影のあるデジタル画",
        "textured": "質感のある版画",
        "pixel": "ドット絵",
        "hatched": "斜線で描かれた絵",
        "stippled": "点描画",
    },
}

# What stands before "background" in each language; in German the dative.
BACKGROUND_NAMES: dict[str, dict[str, str]] = {
    "white": {"en": "white", "zh": "白色", "de": "weißem", "fr": "blanc", "es": "blanco", "ja": "白い"},
    "light blue": {
        "en": "light blue",
        "zh": "浅蓝色",
        "de": "hellblauem",
        "fr": "bleu clair",
        "es": "celeste",
        "ja": "水色の",
    },
    "light green": {
        "en": "light green",
        "zh": "浅绿色",
        "de": "hellgrünem",
        "fr": "vert clair",
        "es": "verde claro",
        "ja": "薄緑色の",
    },
    "light yellow": {
        "en": "light yellow",
        "zh": "浅黄色",
        "de": "hellgelbem",
        "fr": "jaune clair",
        "es": "amarillo claro",
        "ja": "薄黄色の",
    },
    "light pink": {
        "en": "light pink",
        "zh": "浅粉色",
        "de": "blassrosafarbenem",
        "fr": "rose clair",
        "es": "rosa claro",
        "ja": "薄いピンク色の",
    },
    "light gray": {
        "en": "light gray",
        "zh": "浅灰色",
        "de": "hellgrauem",
        "fr": "gris clair",
        "es": "gris claro",
        "ja": "薄い灰色の",
    },
    "beige": {
        "en": "beige",
        "zh": "米色",
        "de": "beigefarbenem",
        "fr": "beige",
        "es": "beige",
        "ja": "ベージュ色の",
    },
    "dark blue": {
        "en": "dark blue",
        "zh": "深蓝色",
        "de": "dunkelblauem",
        "fr": "bleu foncé",
        "es": "azul oscuro",
        "ja": "紺色の",
    },
    "dark green": {
        "en": "dark green",
        "zh": "深绿色",
        "de": "dunkelgrünem",
        "fr": "vert foncé",
        "es": "verde oscuro",
        "ja": "深緑色の",
    },
    "dark gray": {
        "en": "dark gray",
        "zh": "深灰色",
        "de": "dunkelgrauem",
        "fr": "gris foncé",
        "es": "gris oscuro",
        "ja": "濃い灰色の",
    },
}
