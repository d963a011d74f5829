"""Subtitles: words to cues within the limits of a profile, and where their lines break."""
