"""A search index of all transcripts: SQLite FTS5 on the disk of the API server, made from storage at any time.

schema     tables, and how several processes share the files
words      what is a word where a script has no spaces
rows       what is indexed of a transcript, a night's row and a review
reviewed   what reviews say: their latest lines, and words that no recogniser wrote
building   `rebuild` from nothing, `refresh` with what is new
searching  `search`: by name, speaker, date and words said, newest first

The index is never the truth: delete its folder, and `python -m tasks index-transcripts` makes it again.
"""

from tasks.desk.index.building import add_review, rebuild, refresh
from tasks.desk.index.reviewed import latest_lines, suggest
from tasks.desk.index.searching import Filters, Hit, Page, Query, Reviewed, filters, search

__all__ = [
    "Filters",
    "Hit",
    "Page",
    "Query",
    "Reviewed",
    "add_review",
    "filters",
    "latest_lines",
    "rebuild",
    "refresh",
    "search",
    "suggest",
]
