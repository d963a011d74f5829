"""A model's card and the report of its training, for people."""
