"""Containers: open a medium safely, probe its tracks, choose one, read its packets."""
