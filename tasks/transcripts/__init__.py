"""Transcripts: the canonical document, words merged with speakers, broadcast cues, and every format.

Everything here is a pure function of plain data, and stands on the standard library and pydantic alone.
"""
