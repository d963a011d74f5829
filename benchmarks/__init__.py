"""Every figure that the README quotes, each beside a named peer in the same run.

`python -m benchmarks` runs them all, `python -m benchmarks.<name> [--json FILE]` one.
"""
