"""Transcripts: the canonical document, assignment of speakers to words, subtitle cues, and all published formats.

Pure functions of plain data; needs only the standard library and pydantic.
"""
