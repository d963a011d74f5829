"""Programmes of human speech with known texts, the recognisers that transcribe them, and their scores."""
