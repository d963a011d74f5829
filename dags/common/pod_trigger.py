"""Waiting for a step's pod, in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

SETTLE_S = 8.0
"""Longer than a scheduler needs to hear that a task has begun to wait: its supervisor looks every five seconds."""


class StepPodTrigger(KubernetesPodTrigger):
    """The provider's trigger, which does not fire in the first seconds.

    A pod may end before the scheduler has heard that its task waits. The task then runs again when that message comes,
    and the scheduler takes the message for its end: it is failed and tried once more while it does its work
    (apache/airflow #72716, #71580; seen with Airflow 3.3.2 on a real cluster).
    """

    @classmethod
    def of(cls, trigger: KubernetesPodTrigger) -> StepPodTrigger:
        """The same trigger, with patience."""
        return cls(**trigger.serialize()[1])

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__qualname__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(SETTLE_S)
        async for event in super().run():
            yield event
