"""The components of live captions, one per input topic, and the pure functions that they share."""
