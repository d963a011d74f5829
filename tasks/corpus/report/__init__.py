"""A dataset's card and report for people."""
