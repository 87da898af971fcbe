"""Mentions of indicators and of ATT&CK's things in the text of pages. Start at ``find.find_mentions``."""
