"""What `mini` learns from beside Open Clip Art: icons and emoji with their names, and WordNet.

Packages of the npm registry, by `npm pack` at fixed versions whose SHA-256 is below; WordNet by apt, which
compares sums itself. Nothing is installed. Licences stand beside each; all allow this use, some ask to be
named (docs/models.md). Sets under share-alike or the GPL (OpenMoji, Papirus, GCompris) were left out.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

# name: (version, SHA-256 of the archive)
NPM = {
    # Unicode License v3
    "cldr-annotations-full": ("48.2.0", "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1"),
    "cldr-annotations-derived-full": (
        "48.2.0",
        "4be946ff5815f806ec78b50363d577a769f2fbfb90c6380a44e161a92436996e",
    ),
    # Apache-2.0: Google, Mozilla, ByteDance, Pictogrammers
    "@iconify-json/noto": ("1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
    "@iconify-json/fxemoji": ("1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef"),
    "@iconify-json/icon-park": ("1.2.4", "c1a25212a31602aca93c3fa6f6b3288e89b9d7811afc132dfd78506e9d586b6f"),
    "@iconify-json/mdi": ("1.2.3", "ddd817a7213f91de51147943915c0cda8c8b818a53c92b5c068cfa9883c6d7ac"),
    # MIT: Microsoft, Icons8, Paweł Kuna, Phosphor, Resolve to Save Lives
    "@iconify-json/fluent-emoji": (
        "1.2.7",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    ),
    "@iconify-json/fluent-emoji-flat": (
        "1.2.6",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    ),
    "@iconify-json/fluent-emoji-high-contrast": (
        "1.2.6",
        "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0",
    ),
    "@iconify-json/flat-color-icons": (
        "1.2.3",
        "d8878a9b0f02d749bc8671eb7d47882eb711185cbcefbb365cbfb488773c4786",
    ),
    "@iconify-json/tabler": ("1.2.41", "3bf99af156d28d05568aff524a35ed1ba238df640a7835a5e02e1f8e439685f6"),
    "@iconify-json/ph": ("1.2.2", "e3a582a047d9829fc7e8842c660d8065e598d1b68bb58cb68e75a1f1e5a614cc"),
    "@iconify-json/healthicons": (
        "1.2.13",
        "4c2552c45737788a6599da3c5b72610c7fb4e7f87075d401c56fa16d487d4caf",
    ),
    # CC BY 4.0: Twitter, Emoji One (version 2), Streamline; CC BY 3.0: game-icons.net
    "@iconify-json/twemoji": ("1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
    "@iconify-json/emojione": ("1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"),
    "@iconify-json/streamline-emojis": (
        "1.2.4",
        "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
    ),
    "@iconify-json/streamline-freehand-color": (
        "1.2.2",
        "00d74cbddaf1bcf35c8614ac0544d10af69c7cee8801475473fe424ee0c0c642",
    ),
    "@iconify-json/streamline-ultimate-color": (
        "1.2.2",
        "46133a11f3734bcef29066391d7edc141ed1d8056242ddfa1b5d36ce286420b6",
    ),
    "@iconify-json/game-icons": ("1.2.4", "f5758efb34d91c4f50b941f355f16ee73938625e5996fabc25171288404460a4"),
}
APT = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-qq", "wordnet-base"]
WORDNET = "wordnet-base"  # WordNet 3.0 licence (Princeton), permissive


def folder(cache: Path, package: str) -> Path:
    """Where a package lies, unpacked."""
    return cache / "mini" / package.rsplit("/", 1)[-1]


def fetch(cache: Path) -> None:
    """All packages into `cache`/mini; what is there is not fetched again."""
    for package, (version, digest) in NPM.items():
        _into(folder(cache, package), ["npm", "pack", "--silent", f"{package}@{version}"], "*.tgz", digest)
    _into(folder(cache, WORDNET), APT, "*.deb", "")


def _into(target: Path, command: list[str], pattern: str, digest: str) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        subprocess.run(command, cwd=name, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - no shell
        (archive,) = Path(name).glob(pattern)
        tree = Path(name, "tree")
        if digest:
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != digest:
                raise SystemExit(f"{archive.name} has SHA-256 {found}, not {digest}")
            with tarfile.open(archive) as packed:
                packed.extractall(tree, filter="data")
        else:
            unpack = [shutil.which("dpkg-deb") or "dpkg-deb", "-x", str(archive), str(tree)]
            subprocess.run(unpack, check=True)  # noqa: S603 - no shell
        tree.rename(target)
