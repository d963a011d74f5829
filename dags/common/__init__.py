"""Launching steps: settings, pod profiles, the step factory and its two operators."""
