"""Synthetic speech for the demo and for the base model.

The speech comes from espeak-ng, which is GPL: this package is for development and the demo only. Nothing in `tasks`
imports it, and no image installs espeak-ng.
"""
