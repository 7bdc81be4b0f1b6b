"""Text as a person sees it, from whatever markup it came in."""

from __future__ import annotations

import html
import re
import unicodedata
from html.parser import HTMLParser

MAX_ROUNDS = 5
"""What an entity hid may be markup again ("&lt;b&gt;"). Text nested deeper than this is an attack, not a text."""

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff\ufffd\ud800-\udfff]")
"""Also what Postgres cannot store in jsonb."""

_TAG = re.compile(r"<[a-zA-Z/!?]")
_ENTITY = re.compile(r"&(#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]*);")
_SUSPECT = re.compile(r"[<&\x00-\x1f\x7f-\U0010ffff]|  |^ | $")
_AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0*38|#[xX]0*26);)+")
_BLOCKS = frozenset(("p", "br", "div", "li", "ul", "ol", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "hr"))
_UNREAD = frozenset(("script", "style"))


def clean_text(text: str) -> str:
    r"""``text`` as a person sees it: no markup, no unprintable characters, single spaces, Unicode NFC.

    Cleaning twice is cleaning once.

    >>> clean_text("<p>Fish &amp;amp; chips<br>cafe\u0301</p>\n")
    'Fish & chips café'
    >>> clean_text("if a < b and b > c")
    'if a < b and b > c'
    """
    if not _SUSPECT.search(text):
        return text
    for _ in range(MAX_ROUNDS):
        cleaned = _clean_once(text)
        if cleaned == text:
            return cleaned
        text = cleaned
    return _clean_once(re.sub("[<&]", " ", text))


def _clean_once(text: str) -> str:
    if _TAG.search(text):
        parser = _Text()
        parser.feed(text)
        parser.close()
        text = "".join(parser.parts)
    if _ENTITY.search(text):
        text = _AMPERSANDS.sub("&", text)
        text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return " ".join(unicodedata.normalize("NFC", UNPRINTABLE.sub(" ", text)).split())


class _Text(HTMLParser):
    """Collects what is outside of tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.unread = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.unread += tag in _UNREAD
        if tag in _BLOCKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.unread = max(0, self.unread - (tag in _UNREAD))
        if tag in _BLOCKS:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self.unread:
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")
