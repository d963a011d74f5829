"""Error rates: a named normaliser, counts of errors, and how sure the figures are."""
