"""Evaluation of a model on a split: error rates with intervals, by slice, and words hallucinated in non-speech."""
