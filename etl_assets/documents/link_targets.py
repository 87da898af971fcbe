"""Where links lead is no prose: ``Notification </notification>`` of printed web pages, ``[text](target)`` of Markdown.

What reads sentences and names leaves such targets out. The page keeps them, and addresses in them are indicators.
"""

import re

# Broken over lines by a printer, also at the border of a cell, but never over words: those may be another column's.
_PATH = r"</(?=[\w#?])[^\s<>|]{1,300}+(?:[ |]{0,3}\n[ |\n]{0,4}[^\s<>|]{1,300}+){0,3}[ ]?>"
_ADDRESS = r"<(?:https?|ftp)://[^<>]{1,400}>|<mailto:[^<>\s]{1,200}>"
_TITLE = r"(?:[ ]\"[^\"\n]{0,200}\")?"
_OF_MARKDOWN = (
    rf"(?<=\])\((?:<[^<>\n]{{0,400}}>|[^\s()<>]{{1,400}}+(?:\([^\s()]{{0,100}}\)[^\s()<>]{{0,200}}+)?){_TITLE}\)"
)
_PATHS = re.compile(_PATH)
_TARGETS = re.compile(f"{_PATH}|{_ADDRESS}|{_OF_MARKDOWN}")


def without_paths(text: str) -> str:
    """``text`` with blanks instead of targets inside the site, ``</notification>``: they hold no address.

    As many code points as before, line breaks where they were. A target may go on behind a line break.
    """
    return _PATHS.sub(_blank, text) if "</" in text else text


def without_targets(text: str) -> str:
    """``text`` with blanks instead of every target of a link; as many code points as before, line breaks kept."""
    return _TARGETS.sub(_blank, text) if "<" in text or "](" in text else text


def _blank(match: re.Match[str]) -> str:
    return "".join(character if character.isspace() else " " for character in match.group())
