from __future__ import annotations

from typing import Any, get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.sample.licence import Licence, LicenceClass


def read(*texts: str | None) -> list[tuple[Any, Any]]:
    out = Licence().open()(pa.table({"licence": pa.array(texts, pa.string())}))
    assert out.drop is None
    columns = (out.columns["licence_id"].to_pylist(), out.columns["licence_class"].to_pylist())
    return list(zip(*columns, strict=True))


KNOWN = {
    ("CC0-1.0", "public_domain"): """CC0
        cc0-1.0
        CC0 1.0 Universal (CC0 1.0) Public Domain Dedication
        Creative Commons Zero
        https://creativecommons.org/publicdomain/zero/1.0/
        http://creativecommons.org/publicdomain/zero/1.0/deed.de""",
    ("PDM-1.0", "public_domain"): """Public Domain Mark 1.0
        https://creativecommons.org/publicdomain/mark/1.0/""",
    ("Public-Domain", "public_domain"): """Public domain
        PD
        PD-old-100
        publicdomain
        http://web.resource.org/cc/PublicDomain""",
    ("CC-BY-4.0", "attribution"): """CC BY 4.0
        cc-by-4.0
        CC_BY_4.0
        CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)
        Creative Commons Attribution 4.0 International License
        This work is licensed under a Creative Commons Attribution 4.0 International License.
        https://creativecommons.org/licenses/by/4.0/legalcode.en#s3
        https://www.creativecommons.org/licenses/by/4.0?ref=x
        creativecommons.org/licenses/by/4.0""",
    ("CC-BY", "attribution"): """CC BY
        Creative Commons: Attribution""",
    ("CC-BY-SA-3.0", "share_alike"): """CC BY-SA 3.0
        Creative Commons Attribution-ShareAlike 3.0 Unported
        Attribution-Share Alike 3.0
        CC-BY-SA v3""",
    ("CC-BY-SA-3.0-DE", "share_alike"): """CC BY-SA 3.0 DE
        https://creativecommons.org/licenses/by-sa/3.0/de/""",
    ("CC-BY-NC-2.0", "non_commercial"): "Attribution-NonCommercial 2.0 Generic (CC BY-NC 2.0)",
    ("CC-BY-NC-SA-4.0", "non_commercial"): """cc-by-nc-sa-4.0
        CC BY-SA-NC 4.0""",
    ("CC-BY-NC-ND-2.0", "no_derivatives"): """https://creativecommons.org/licenses/by-nc-nd/2.0/
        Creative Commons Attribution-NonCommercial-NoDerivs 2.0 Generic""",
    ("CC-BY-ND", "no_derivatives"): "cc by-nd",
    ("GFDL", "copyleft"): """gfdl
        GNU Free Documentation License""",
    ("GFDL-1.2-or-later", "copyleft"): """GFDL-1.2+
        GNU Free Documentation License, version 1.2 or later""",
    ("GPL-2.0-or-later", "copyleft"): """GPL-2+
        GPL-2.0-or-later
        GPL 2 or later""",
    ("GPL-3.0-only", "copyleft"): """GPLv3
        GPL-3
        GNU General Public License v3.0
        https://www.gnu.org/licenses/gpl-3.0.en.html""",
    ("LGPL-2.1-only", "copyleft"): "LGPL-2.1",
    ("MIT", "permissive"): """MIT
        The MIT License
        Expat
        https://opensource.org/licenses/MIT""",
    ("Apache-2.0", "permissive"): """Apache License, Version 2.0
        apache-2.0
        http://www.apache.org/licenses/LICENSE-2.0""",
    ("BSD-3-Clause", "permissive"): """BSD-3-Clause
        https://spdx.org/licenses/BSD-3-Clause.html""",
    ("ODbL-1.0", "share_alike"): "odbl",
    ("All-Rights-Reserved", "proprietary"): """All rights reserved.
        © All Rights Reserved
        http://rightsstatements.org/vocab/InC/1.0/""",
    (None, "unknown"): """unknown
        GFDL or CC BY-SA 3.0
        CC BY 4.0, GPL-2
        © 2019 Someone
        CC
        by
        CC BY-SA-ND 4.0
        CC BY-BY 4.0
        Photo by Anna, CC BY 4.0
        No known copyright restrictions
        Artistic-2.0
        see website
        https://example.org/licenses/by/4.0/
        https://creativecommons.org/
        CC BY 4.0 (https://creativecommons.org/licenses/by-nc/4.0/)
        """,
}


@pytest.mark.parametrize(("wanted", "texts"), KNOWN.items(), ids=lambda v: str(v)[:30])
def test_known(wanted: tuple[str | None, str], texts: str) -> None:
    spelled = [line.strip() for line in texts.strip().split("\n")]
    found = read(*spelled, *[f"  {text.upper()} \n" for text in spelled])
    assert {text: f for text, f in zip(spelled * 2, found, strict=True) if f != wanted} == {}


def test_null_and_empty() -> None:
    assert read(None, "", " . ") == [(None, None), (None, "unknown"), (None, "unknown")]


def test_an_id_stands_for_itself() -> None:
    ids = [id_ for id_, _ in KNOWN if id_]
    assert [found for found, _ in read(*ids)] == ids


def test_every_class_is_declared() -> None:
    assert {kind for _, kind in KNOWN} == set(get_args(LicenceClass))


WORDS = st.sampled_from(
    ["cc", "by", "nc", "sa", "4.0", "gpl", "or later", "(", ")", "https://creativecommons.org/", "mit"]
)


@given(st.lists(WORDS | st.text(max_size=4), max_size=12).map(" ".join))
def test_any_text(text: str) -> None:
    ((id_, kind),) = read(text.encode("utf-8", "replace").decode())
    assert kind in get_args(LicenceClass)
    assert (id_ is None) == (kind == "unknown")
    if id_ is not None:
        assert read(id_) == [(id_, kind)]


def test_a_whole_licence_text_is_no_name() -> None:
    assert read("MIT " * 250_000, "CC BY 4.0 " + "(" * 10**6) == [(None, "unknown")] * 2
