"""Every figure of docs/figures.md, each beside a named peer in the same run.

`python -m benchmarks` runs them all, `python -m benchmarks.<name> [--json FILE]` one.
"""
