"""Subtitle cues: segmentation of words into cues and lines within the limits of a profile."""
