"""A night's work: what is new in the inbox is decoded, recognised and published; each programme ends with an outcome.

`plan` → `prepare` → `recognise` beside `diarize` → `publish` (mapped over batches) → `report`.
"""
