"""The components of live captions, one per topic, each a function of messages and state; and what they share."""
