"""HTML by lexbor (selectolax): body text with headings, lists and tables; scripts and navigation dropped.

Not by trafilatura: it decides by density which text is the article, and what it decides against is lost. Here only
what is marked as navigation goes. The walk keeps its own stack: real pages nest deeper than Python recurses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from etl_assets.documents.parsing.dates import iso_date
from etl_assets.documents.parsing.document import Extract, Page, Source, TextBudget
from etl_assets.documents.parsing.text import PageBuilder, decode, one_line

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_SKIPPED = frozenset((
    "script", "style", "noscript", "template", "nav", "svg", "iframe", "object", "embed", "canvas", "button", "select",
    "input", "textarea", "datalist", "head", "title", "meta", "link", "audio", "video", "map",
))  # fmt: skip
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "html", "legend", "li", "main", "menu", "ol", "p", "pre", "section", "summary", "table", "tbody",
    "td", "tfoot", "th", "thead", "tr", "ul",
))  # fmt: skip
_NAVIGATION_ROLES = frozenset(("navigation", "menu", "menubar", "search", "toolbar"))
_NAVIGATION_TAGS = frozenset(("ul", "ol", "div", "td", "table", "p"))
_NAVIGATION_CLASS = re.compile(
    r"(?:^|[\s_-])(?:\w*nav(?:bar|igation|links?)?|breadcrumbs?|pagination)(?:$|[\s_-])", re.I
)
_LAYOUT = "table, h1, h2, h3, h4, pre"
"""A table that holds one of these lays out a page: its cells are read as blocks, not as rows."""

_MAX_TABLE_DEPTH = 8
_MAX_NAVIGATION_CHECKS = 100
"""Both look at everything below an element: without a bound, hostile nesting makes that quadratic."""
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9_.:-]{2,40})["']""")
_JSON_LD_DATE = re.compile(r'"(dateModified|datePublished)"\s*:\s*"([^"]{4,40})"')
_DATE_NAMES = (
    "article:modified_time", "og:updated_time", "last-modified", "dcterms.modified", "datemodified", "revised",
    "article:published_time", "citation_publication_date", "dc.date", "dcterms.created", "dcterms.issued",
    "dc.date.issued", "datepublished", "date", "pubdate", "publish-date", "publication_date",
)  # fmt: skip
_SOURCE_NAMES = ("author", "citation_author", "dc.creator", "dcterms.creator", "og:site_name", "dc.publisher")


def parse_html(source: Source) -> Extract:
    """One page. Images give their alternative text; a table of data reads one line a row, ``a | b | c``."""
    import selectolax
    from selectolax.lexbor import LexborHTMLParser

    data = source.read()
    text, encoding = decode(data, declared_charset(data), source.charset)
    tree = LexborHTMLParser(text)
    named = _meta(tree)
    page = html_page(tree, 1, TextBudget())
    title_node = tree.css_first("head > title")
    heading = page.text[page.headings[0].start : page.headings[0].end] if page.headings else None
    title = one_line(title_node.text(deep=True)) if title_node is not None else ""
    return Extract(
        pages=[page],
        method=f"selectolax {selectolax.__version__}",
        title=title or named.get("og:title") or heading,
        date=_stated_date(tree, named),
        source=next((named[name] for name in _SOURCE_NAMES if name in named), None) or _address(tree, named),
        encoding=encoding,
    )


def parse_all_html(source: Source) -> Extract:
    """One page of all text that a browser shows, navigation too: for pages that are nothing else."""
    import selectolax
    from selectolax.lexbor import LexborHTMLParser

    data = source.read()
    text, encoding = decode(data, declared_charset(data), source.charset)
    tree = LexborHTMLParser(text)
    tree.strip_tags(["script", "style", "template", "noscript"])
    builder = PageBuilder(TextBudget())
    for line in (tree.body.text(deep=True, separator="\n") if tree.body is not None else "").split("\n"):
        builder.add(one_line(line), group="lines")
    return Extract(pages=[builder.page(1)], method=f"selectolax {selectolax.__version__}", encoding=encoding)


def declared_charset(data: bytes) -> str | None:
    """What the document itself says its encoding is, in its first 4 kB."""
    match = _XML_ENCODING.search(data[:1024]) or _CHARSET.search(data[:4096])
    return match.group(1).decode("ascii") if match else None


def html_page(tree: LexborHTMLParser, number: int, budget: TextBudget) -> Page:
    """The visible text of a parsed tree as one page."""
    writer = _Writer(PageBuilder(budget))
    body = tree.body or tree.root
    if body is not None:
        writer.walk(body)
    return writer.builder.page(number)


class _Writer:
    """Turns opening tags, text and closing tags into blocks."""

    def __init__(self, builder: PageBuilder) -> None:
        self.builder = builder
        self._inline: list[str] = []
        self._cells: list[str] | None = None
        self._level = 0
        self._pre = 0
        self._item = False
        self._lists = 0
        self._tables: list[bool] = []
        self._group = 0
        self._navigation_checks = 0

    def walk(self, root: LexborNode) -> None:
        stack: list[tuple[LexborNode, bool]] = [(root, False)]
        while stack:
            node, closing = stack.pop()
            tag = node.tag or ""
            if closing:
                self._close(tag)
            elif tag == "-text":
                # The node's own text: text_content would join that of children a text node never has.
                self._inline.append(node.text_content or "")
            elif tag and not tag.startswith(("-", "_", "!")) and not self._is_skipped(node, tag):
                self._open(node, tag)
                stack.append((node, True))
                child = node.last_child
                while child is not None:
                    stack.append((child, False))
                    child = child.prev
        self._flush()

    def _is_skipped(self, node: LexborNode, tag: str) -> bool:
        if tag in _SKIPPED:
            return True
        attributes = node.attributes
        if not attributes:
            return False
        if "hidden" in attributes or attributes.get("role") in _NAVIGATION_ROLES:
            return tag != "body"
        if tag in _NAVIGATION_TAGS and _NAVIGATION_CLASS.search(attributes.get("class") or ""):
            self._navigation_checks += 1
            return self._navigation_checks <= _MAX_NAVIGATION_CHECKS and _is_mostly_links(node)
        return False

    def _open(self, node: LexborNode, tag: str) -> None:
        if tag == "br":
            self._inline.append("\n" if self._pre else "\x0b")
        elif tag == "img":
            self._inline.append(f" {node.attributes.get('alt') or ''} ")
        elif tag in ("td", "th") and self._is_data:
            self._inline = []
        elif tag in _BLOCKS and not self._in_row:
            self._flush()
        if tag == "table":
            self._group += 1
            self._tables.append(len(self._tables) < _MAX_TABLE_DEPTH and _is_data_table(node))
            self.builder.start_table()
        elif tag == "tr" and self._is_data:
            self._cells = []
        elif tag == "pre":
            self._pre += 1
        elif tag in ("ul", "ol"):
            self._group += not self._lists
            self._lists += 1
        elif tag == "li":
            self._item = True
        elif len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
            self._level = int(tag[1])

    def _close(self, tag: str) -> None:
        if tag in ("td", "th") and self._is_data and self._cells is not None:
            self._cells.append(one_line("".join(self._inline)))
            self._inline = []
        elif tag == "tr" and self._cells is not None:
            self.builder.add_row(list(enumerate(self._cells)))
            self._cells = None
        elif tag in _BLOCKS and not self._in_row:
            self._flush()
        elif tag in _BLOCKS:
            self._inline.append(" ")
        if tag == "table":
            self._tables.pop()
            self.builder.end_table()
        elif tag == "pre":
            self._pre -= 1
        elif tag in ("ul", "ol"):
            self._lists -= 1
        elif tag == "li":
            self._item = False
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self._level = 0

    @property
    def _is_data(self) -> bool:
        return bool(self._tables) and self._tables[-1]

    @property
    def _in_row(self) -> bool:
        return self._cells is not None

    def _flush(self) -> None:
        text = "".join(self._inline)
        self._inline = []
        if not self._pre:
            text = "\n".join(one_line(line) for line in text.split("\x0b"))
        if text.strip():
            prefix = "- " if self._item and not self._level else ""
            self._item = False
            group = f"list {self._group}" if self._lists and not self._level else None
            text = text if self._pre else text.strip()
            self.builder.add(prefix + text, level=self._level, group=group)


def _is_data_table(node: LexborNode) -> bool:
    return all(inner.mem_id == node.mem_id for inner in node.css(_LAYOUT))


def _is_mostly_links(node: LexborNode) -> bool:
    """A class name alone proves nothing: text is dropped only when most of it leads elsewhere and it is short."""
    text = len(one_line(node.text(deep=True)))
    linked = sum(len(one_line(a.text(deep=True))) for a in node.css("a"))
    is_short_list = node.tag in ("ul", "ol") and text < 200 and linked > 0
    return text < 5000 and (linked * 2 >= text or is_short_list)


def _meta(tree: LexborHTMLParser) -> dict[str, str]:
    named: dict[str, str] = {}
    for node in tree.css("meta")[:500]:
        attributes = node.attributes
        name = attributes.get("name") or attributes.get("property") or attributes.get("itemprop")
        value = one_line(attributes.get("content") or "")
        if name and value:
            named.setdefault(name.lower(), value)
    return named


def _stated_date(tree: LexborHTMLParser, named: dict[str, str]) -> str | None:
    for name in _DATE_NAMES:
        if found := iso_date(named.get(name)):
            return found
    scripts = " ".join(n.text(deep=True) for n in tree.css('script[type="application/ld+json"]')[:20])
    linked = dict(reversed(_JSON_LD_DATE.findall(scripts)))
    if found := iso_date(linked.get("dateModified")) or iso_date(linked.get("datePublished")):
        return found
    times = (iso_date(node.attributes.get("datetime")) for node in tree.css("time[datetime]")[:20])
    return next((found for found in times if found), None)


def _address(tree: LexborHTMLParser, named: dict[str, str]) -> str | None:
    canonical = tree.css_first('link[rel="canonical"]')
    address = canonical.attributes.get("href") if canonical is not None else None
    return address or named.get("og:url")
