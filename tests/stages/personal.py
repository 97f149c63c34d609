"""Invented personal data with valid check digits, in many spellings, and sentences to plant it in."""

from __future__ import annotations

import importlib
import ipaddress
import random
from collections.abc import Callable, Sequence

import phonenumbers
from stdnum import iban, luhn

FIRST = ("anna", "lukas", "mei", "carlos", "jörg", "o'neil", "ines", "paul", "j", "maria-jose")
LAST = ("vogelsang", "okafor", "lindqvist", "wang", "dubreuil", "salgado_7", "smith99", "x")
HOSTS = (
    "example.org",
    "mail.example.com",
    "studio.example",
    "uni-köln.example",
    "a.b.c.example.co.uk",
    "t.io",
)

# With a place for the number; words that name it are there only where the kind needs one.
SENTENCES = (
    "A red bicycle leans against a wall. {}",
    "Photo ({}) of a brown dog on the sand.",
    "Two cats on a table, {}, seen from above",
    "Kontakt: {} – Foto vom Hafen bei Nacht.",
    "写真は{}まで。",
    "两只猫在桌子上（{}），2023年。",
    "Vue du port; {}! 12 bateaux, 3 mâts.",
    "{}",
    "Плакат, {}: 1969",
    "«{}» — صورة",
)


def digits(rng: random.Random, template: str) -> str:
    """Every `#` of a template a digit, `@` a capital."""
    letters = "ABCDEFGHJKLMNPRSTWXYZ"
    fill = {"#": lambda: str(rng.randint(0, 9)), "@": lambda: rng.choice(letters)}
    return "".join(fill.get(c, lambda c=c: c)() for c in template)


def date(rng: random.Random, form: str) -> str:
    parts = {
        "Y": f"{rng.randint(1945, 1999)}",
        "M": f"{rng.randint(1, 12):02}",
        "D": f"{rng.randint(1, 28):02}",
    }
    return (
        form.replace("yy", parts["Y"][2:])
        .replace("Y", parts["Y"])
        .replace("M", parts["M"])
        .replace("D", parts["D"])
    )


def valid(rng: random.Random, module: str, template: Callable[[], str]) -> str:
    """Numbers of a shape are drawn until python-stdnum takes one."""
    check = importlib.import_module(f"stdnum.{module}")
    while not check.is_valid(found := template()):
        pass
    return found


def email(rng: random.Random) -> str:
    name = rng.choice(FIRST) + rng.choice((".", "_", "", "-", "+")) + rng.choice(LAST)
    host = rng.choice(HOSTS)
    spelled = rng.choice(
        (f"{name}@{host}",) * 5 + (f"{name} [at] {host}", f"{name}(at){host.replace('.', ' [dot] ')}")
    )
    return spelled.upper() if rng.random() < 0.1 else spelled


def ip(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return str(ipaddress.IPv6Address((0x2A00 << 112) + rng.getrandbits(100)))
    while not (found := ipaddress.IPv4Address(rng.getrandbits(32))).is_global or found.is_multicast:
        pass
    return str(found)


def card(rng: random.Random) -> str:
    start, size = rng.choice(
        (
            ("4", 16),
            ("51", 16),
            ("2221", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("65", 16),
            ("3528", 16),
            ("62", 16),
        )
    )
    body = start + digits(rng, "#" * (size - 1 - len(start)))
    number = body + luhn.calc_check_digit(body)
    gap = rng.choice(("", " ", "-"))
    cuts = (4, 10) if size == 15 else (4, 8, 12)
    return gap.join(number[a:b] for a, b in zip((0, *cuts), (*cuts, size), strict=True))


ACCOUNTS = (
    *(("DE", "#" * 18), ("GB", "@@@@" + "#" * 14), ("FR", "#" * 20 + "A##"), ("ES", "#" * 20)),
    *(("NL", "ABNA" + "#" * 10), ("IT", "@" + "#" * 22), ("CH", "#" * 17), ("PL", "#" * 24)),
    *(("NO", "#" * 11), ("MT", "@@@@" + "#" * 23)),
)


def account(rng: random.Random) -> str:
    country, bban = rng.choice(ACCOUNTS)
    found = digits(rng, bban)
    number = country + iban.calc_check_digits(f"{country}00{found}") + found
    return iban.format(number) if rng.random() < 0.5 else number


NATIONAL = (
    *("(###) 555-01##", "212-555-01##", "415.555.01##", "(617) 867-53##", "1-800-867-53##", "303 867 53##"),
    *("020 7946 0###", "(0117) 496 0###", "07700 900###", "0161 496 0###"),
    *("030 1234###", "0170 12345##", "089/1234###", "(040) 123 45 ##", "0151-234567##"),
    *("01 42 68 53 ##", "06.12.34.5#.##", "02-98-76-54-3#"),
    *("1381234####", "139 0013 ####", "010-6552####", "021 6321 ####", "186-1234-####"),
    *("03-3212-####", "090-1234-####", "06-6312-####"),
    *("010-2345-####", "02-312-####"),
    *("98765 4####", "(11) 91234-####", "612 34 56 ##", "06 6982 ####"),
)


def phone(rng: random.Random, at_home: Sequence[str]) -> str:
    """Of any country in international form, or as it is written in the countries of `at_home`."""
    if rng.random() < 0.3:
        return digits(rng, rng.choice(NATIONAL))
    form = rng.choice(
        (
            phonenumbers.PhoneNumberFormat.INTERNATIONAL,
            phonenumbers.PhoneNumberFormat.E164,
            phonenumbers.PhoneNumberFormat.NATIONAL,
        )
    )
    national = form == phonenumbers.PhoneNumberFormat.NATIONAL
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    number = None
    while number is None:
        region = rng.choice(sorted(at_home if national else phonenumbers.SUPPORTED_REGIONS))
        number = phonenumbers.example_number_for_type(region, rng.choice(kinds))
    return phonenumbers.format_number(number, form)


def _person(module: str, *pieces: str) -> Callable[[random.Random], str]:
    """Numbers of a module of stdnum; a piece is a template of `digits`, or `=` and a form of `date`."""

    def draw(rng: random.Random) -> str:
        def made() -> str:
            return "".join(date(rng, p[1:]) if p[0] == "=" else digits(rng, p) for p in pieces)

        return valid(rng, module, made) if module else made()

    return draw


# kind: (the word beside it where it needs one, how one is made)
IDS: dict[str, tuple[str, Callable[[random.Random], str]]] = {
    "us_ssn": ("", _person("us.ssn", "###-##-####")),
    "cn_id": ("", _person("cn.ric", "110105", "=YMD", "####")),
    "br_cpf": ("", _person("br.cpf", "###.###.###-##")),
    "fr_nir": ("", _person("fr.nir", "1", "=yyM", "75########")),
    "it_cf": ("", _person("it.codicefiscale", "RSSMRA8#A1#A562@")),
    "kr_rrn": ("", _person("kr.rrn", "=yyMD", "-1######")),
    "be_nn": ("", _person("be.nn", "=yy.M.D", "-###.##")),
    "fi_hetu": ("", _person("fi.hetu", "=DMyy", "-###@")),
    "in_aadhaar": ("Aadhaar ", _person("in_.aadhaar", "#### #### ####")),
    "ca_sin": ("SIN: ", _person("ca.sin", "###-###-###")),
    "es_dni": ("DNI ", _person("es.dni", "########@")),
    "de_idnr": ("Steuer-ID: ", _person("de.idnr", "## ### ### ###")),
    "gb_nhs": ("NHS number ", _person("gb.nhs", "### ### ####")),
    "gb_nino": ("", _person("", "AB ## ## ## C")),
    "nl_bsn": ("BSN ", _person("nl.bsn", "1########")),
    "pl_pesel": ("PESEL ", _person("pl.pesel", "=yyMD", "#####")),
    "se_pnr": ("personnummer ", _person("se.personnummer", "=yyMD", "-####")),
}
