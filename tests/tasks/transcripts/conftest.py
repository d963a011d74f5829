"""No deadlines for hypothesis: the machines that run these tests are shared."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "shared machine", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared machine")
