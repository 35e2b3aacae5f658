"""What mkdocs is told about the pages of docs/; see mkdocs.yml."""

import re


def on_page_markdown(markdown, **_):
    """```sql foreign is for test/t/900_docs.pl; Python's Markdown knows one word."""
    return re.sub(r"(?m)^(\s*```\w+) \w+$", r"\1", markdown)
