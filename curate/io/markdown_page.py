"""Markdown into HTML for extraction: CommonMark with GitHub's tables, and what its front matter says."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import yaml
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.token import Token

from curate.io.html_types import HtmlError

MAX_TOKENS = 100_000  # as many as a page may have elements; a long manual has some thousands
MAX_FRONT_MATTER = 64 << 10
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\r?\n(.*?)(?:\r?\n|(?<=\n))\1[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_MODULE = re.compile(r"(?:import|export)\s")  # statements of MDX, which are no text


class Written(NamedTuple):
    """A Markdown file taken apart."""

    html: str
    heading: str | None  # the first of level 1
    front: Mapping[str, Any]  # front matter; empty where there is none
    readable: bool  # whether the front matter could be read


class _Refused(yaml.YAMLError):
    """YAML that repeats itself by aliases, which can make much of little."""


class _Strings(yaml.BaseLoader):
    """Mappings, lists and strings: nothing that a tag could ask for."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _Refused("aliases are not read")
        return super().compose_node(parent, index)


def written(text: str, *, module: bool, limit: int) -> Written:
    """The HTML of a Markdown text. `module`: it is MDX. Raises HtmlError where it would pass a limit."""
    front, readable, text = _front_matter(text)
    tokens = _parser().parse(text)
    size = 0
    heading = None
    shown: list[Token] = []
    for i, token in enumerate(tokens):
        if module and _is_statement(tokens, i):
            continue
        if heading is None and token.tag == "h1" and token.nesting == 1:
            heading = _plain(tokens[i + 1]) or None
        size += _prepare(token)
        if size > limit:
            raise HtmlError("too_large", f"{size} bytes of references")
        shown.append(token)
    html = _parser().renderer.render(shown, _parser().options, {})
    if len(html) > limit:
        raise HtmlError("too_large", f"{len(html)} characters of HTML")
    # what stands in an article is never a menu
    return Written(f"<!doctype html><html><body><main>{html}</main></body></html>", heading, front, readable)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    # A URL that must not be followed is for the source to say; left in the text it would be read as words.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    return parser


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table, unless there is too much already: a short one may declare 65,536 cells."""
    if len(state.tokens) > MAX_TOKENS:
        raise HtmlError("too_many_elements", f"more than {MAX_TOKENS} tokens")
    return table(state, start, end, silent)


def _prepare(token: Token) -> int:
    """Take out where links lead: no content. Gives the size of URLs and titles, as one may stand for many."""
    size = 0
    for child in token.children or ():
        if child.type == "link_open":
            child.attrs = {}
        size += sum(len(str(value)) for value in child.attrs.values())
    return size


def _is_statement(tokens: Sequence[Token], i: int) -> bool:
    """Whether a token is of a paragraph that is an import or export."""
    for start in range(max(0, i - 2), i + 1):
        if tokens[start].type == "paragraph_open" and tokens[start].level == 0:
            return i <= start + 2 and _MODULE.match(tokens[start + 1].content) is not None
    return False


def _plain(inline: Token) -> str:
    """The words of a heading."""
    parts = [child.content for child in inline.children or () if child.type in ("text", "code_inline")]
    return " ".join("".join(parts).split())


def _front_matter(text: str) -> tuple[Mapping[str, Any], bool, str]:
    """(front matter, whether it can be read, the rest) of a text that may begin with some.

    Between lines of `---` stands YAML, of `+++` TOML. What is no mapping is no front matter: a text may begin
    with a rule.
    """
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}, True, text
    kind, body, rest = found[1], found[2], text[found.end() :]
    if len(body) > MAX_FRONT_MATTER:
        return {}, True, text
    try:
        # pure Python: a loader in C would end the process on deep nesting
        value = tomllib.loads(body) if kind == "+++" else yaml.load(body, _Strings)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, False, rest
    if value in (None, ""):
        return {}, True, rest
    return (value, True, rest) if isinstance(value, dict) else ({}, True, text)
