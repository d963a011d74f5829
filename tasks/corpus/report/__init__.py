"""The dataset's card and report for people."""
