"""What pages of reports have in common: their frame, their style, and how a document's words become safe HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from etl_assets.search.safe_text import safe

# Nothing is loaded and nothing runs, whatever a document says: the page has no script and may not fetch anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b2733;max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #d5dde5}
table{border-collapse:collapse;width:100%;font-size:.92rem}td:first-child{min-width:8rem}
.long{overflow-wrap:anywhere}td,th{text-align:left;vertical-align:top;padding:.25rem .6rem
.25rem 0;border-bottom:1px solid #eef2f5}th{color:#5b6b7a;font-weight:600}.muted{color:#5b6b7a}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font:14px/1.55 ui-monospace,monospace;background:#f7f9fb;padding:1rem}
mark{padding:0 .15em;border-radius:3px;color:inherit;background:#e4ebf1;border-bottom:2px solid var(--c,#5b6b7a)}
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.4em}svg{max-width:100%;height:auto}
q{font-style:italic}.bar{display:inline-block;height:.7em;background:#2f6f9f;border-radius:2px}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML page; ``title`` is plain text, ``parts`` are HTML."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta http-equiv='Content-Security-Policy' content=\"{_POLICY}\">"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        "<meta name='referrer' content='no-referrer'>"
        f"<title>{safe(title)}</title><style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; headings are plain text, cells are HTML."""
    head = "".join(f"<th>{safe(one)}</th>" for one in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def long(text: str) -> str:
    """Words that may be broken anywhere, such as paths and sentences with addresses in them."""
    return f"<span class='long'>{safe(text)}</span>"


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it."""
    return f"<h2>{safe(title)}</h2>" + "".join(parts)
