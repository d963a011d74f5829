"""The trigger that waits for a step's pod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

START_DELAY_S = 8.0
"""Longer than it takes the scheduler to learn that a task has deferred: its supervisor polls every five seconds."""


class StepPodTrigger(KubernetesPodTrigger):
    """The provider's trigger with a delay, so that it never fires before the scheduler knows that the task deferred.

    If a pod ends earlier, the task already runs again when the message about deferring arrives. The scheduler mistakes
    that message for the end of the task, fails it and retries it while it is working (apache/airflow #72716, #71580;
    seen with Airflow 3.3.2 on a real cluster).
    """

    @classmethod
    def from_trigger(cls, trigger: KubernetesPodTrigger) -> StepPodTrigger:
        """The same trigger with the delay."""
        return cls(**trigger.serialize()[1])

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__qualname__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(START_DELAY_S)
        async for event in super().run():
            yield event
