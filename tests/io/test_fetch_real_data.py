"""The fetch script, against stand-ins for apt and dpkg: nothing is downloaded here."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "infra" / "fetch_real_data.py"
PACKAGE = "gimp-help-en"
CONTENT = "usr/share/gimp/2.0/help/en"

# Each stand-in is driven by files in $FAKE and logs its calls there.
APT_CACHE = (
    '#!/bin/sh\necho "apt-cache $*" >>"$FAKE/log"\n[ -f "$FAKE/lists" ] || exit 100\ncat "$FAKE/lists"\n'
)
APT_GET = """#!/bin/sh
echo "apt-get $*" >>"$FAKE/log"
case "$*" in
  *update*) [ -f "$FAKE/mirror" ] || { echo "no mirror" >&2; exit 100; }; cp "$FAKE/mirror" "$FAKE/lists" ;;
  *download*=1.0*) [ -f "$FAKE/gone" ] && { echo "404  Not Found" >&2; exit 100; }
    [ -f "$FAKE/deb" ] || { echo "Temporary failure" >&2; exit 100; }; cp "$FAKE/deb" p_1.0_all.deb ;;
  *) cp "$FAKE/deb" p_2.0_all.deb ;;
esac
"""
DPKG_DEB = """#!/bin/sh
echo "dpkg-deb $1" >>"$FAKE/log"
[ "$(cat "$2")" = "broken" ] && { echo "not a Debian format archive" >&2; exit 2; }
mkdir -p "$3/$CONTENT" && echo "<p>page" >"$3/$CONTENT/a.html"
"""


def stanza(deb: bytes, version: str = "1.0") -> str:
    digest = hashlib.sha256(deb).hexdigest()
    return (
        f"Package: {PACKAGE}\nVersion: {version}\nDescription-en: manual\n Size: 1 is not this field\n"
        f"Size: {len(deb)}\nSHA256: {digest}\n\n"
    )


@pytest.fixture
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch_real_data", SCRIPT)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["fetch_real_data"] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fake"
    tools = folder / "bin"
    tools.mkdir(parents=True)
    for name, text in (("apt-cache", APT_CACHE), ("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (folder / "log").touch()
    (folder / "deb").write_bytes(b"good deb")
    (folder / "lists").write_text(stanza(b"good deb"))
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("CONTENT", CONTENT)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


def calls(fake: Path) -> list[str]:
    return (fake / "log").read_text().splitlines()


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_fetches_unpacks_and_marks_last(module: ModuleType, fake: Path, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    assert module.fetch(PACKAGE, cache) == cache / PACKAGE
    assert (cache / PACKAGE / CONTENT / "a.html").is_file()
    marker = json.loads((cache / f"{PACKAGE}.done.json").read_text())
    assert (marker["version"], marker["size"]) == ("1.0", 8)
    assert leftovers(cache) == [PACKAGE, f"{PACKAGE}.done.json"]


def test_second_run_asks_nothing(module: ModuleType, fake: Path, tmp_path: Path) -> None:
    module.fetch(PACKAGE, tmp_path / "c")
    before = calls(fake)
    module.fetch(PACKAGE, tmp_path / "c")
    assert calls(fake) == before


def test_a_tree_without_its_marker_is_fetched_again(module: ModuleType, fake: Path, tmp_path: Path) -> None:
    half = tmp_path / PACKAGE / CONTENT
    half.mkdir(parents=True)
    (half / "half.html").touch()
    module.fetch(PACKAGE, tmp_path)
    assert [path.name for path in half.iterdir()] == ["a.html"]


@pytest.mark.parametrize(("listed", "told"), [(b"good deb!", "8 bytes"), (b"other de", "SHA-256")])
def test_a_deb_that_is_not_the_listed_one_is_refused(
    module: ModuleType, fake: Path, tmp_path: Path, listed: bytes, told: str
) -> None:
    (fake / "lists").write_text(stanza(listed))
    with pytest.raises(module.FetchError, match=told):
        module.fetch(PACKAGE, tmp_path / "c")
    assert leftovers(tmp_path / "c") == []
    assert not any(call.startswith("dpkg-deb") for call in calls(fake))


def test_missing_lists_are_updated_by_root_only(
    module: ModuleType, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake / "lists").rename(fake / "mirror")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(module.UnavailableError, match="apt-get update"):
        module.fetch(PACKAGE, tmp_path / "c")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert module.fetch(PACKAGE, tmp_path / "c").is_dir()


def test_a_version_gone_from_the_mirror_is_looked_up_again(
    module: ModuleType, fake: Path, tmp_path: Path
) -> None:
    (fake / "gone").touch()
    (fake / "mirror").write_text(stanza(b"good deb", "2.0"))
    module.fetch(PACKAGE, tmp_path)
    assert json.loads((tmp_path / f"{PACKAGE}.done.json").read_text())["version"] == "2.0"


def test_exit_codes(
    module: ModuleType,
    fake: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = str(tmp_path / "c")
    (fake / "deb").unlink()  # offline
    assert module.main([cache, "--only", PACKAGE]) == 4
    assert "Temporary failure" in capsys.readouterr().err
    (fake / "deb").write_bytes(b"broken")
    (fake / "lists").write_text(stanza(b"broken"))
    assert module.main([cache, "--only", PACKAGE]) == 1
    assert "not a Debian format" in capsys.readouterr().err
    assert module.main([cache, "--only", PACKAGE, "--max-mb", "0.000001"]) == 1
    assert "more than" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        module.main([cache, "--only", "nothing"])
    assert usage.value.code == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.main([cache, "--only", PACKAGE]) == 3
    assert "apt-cache is not on this machine" in capsys.readouterr().err


def test_a_changed_layout_is_an_error(
    module: ModuleType, fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTENT", "usr/share/elsewhere")
    with pytest.raises(module.FetchError, match="layout changed"):
        module.fetch(PACKAGE, tmp_path)


def test_prints_what_lies_where(
    module: ModuleType, fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main([str(tmp_path), "--only", PACKAGE]) == 0
    out = capsys.readouterr().out
    assert str(tmp_path / PACKAGE / CONTENT) in out
    assert "1 html" in out


def test_only_known_packages(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not one of"):
        module.fetch("../../etc", tmp_path)
    assert set(module.CONTENT) == set(module.PACKAGES)
    assert module._choose(["tuxpaint", "gimp-help"])[:3] == ["gimp-help-en", "gimp-help-de", "gimp-help-fr"]
