"""Chunks of audio in, words with times and confidences out: engines behind one protocol."""

from tasks.recognition.engine import Engine, Hints, Recognition, Word
from tasks.recognition.loading import load_engine

__all__ = ["Engine", "Hints", "Recognition", "Word", "load_engine"]
