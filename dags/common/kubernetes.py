"""A step as a pod."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
from airflow.providers.cncf.kubernetes.utils.pod_manager import (
    PodLaunchFailedException,
    PodLaunchTimeoutException,
    PodNotFoundException,
    PodPhase,
)
from airflow.sdk.exceptions import AirflowSkipException
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from dags.common.failures import (
    StepFailure,
    StepOutOfMemory,
    StepPreempted,
    StepStartTimeout,
    failed_attempts,
    failure_of_pod,
)
from dags.common.launch import StepLauncher
from dags.common.pod_trigger import StepPodTrigger
from dags.common.profiles import PLACEMENTS, PROFILES, Profile
from dags.common.receipts import delete_receipt, read_receipt
from dags.common.settings import settings
from tasks.contract import Receipt, Status

if TYPE_CHECKING:
    from airflow.sdk import Context

CONTAINER = "step"
SCRATCH = "/scratch"
USER_ID = 10001
SPOT_TRIES = 3
"""After so many preemptions a step runs on demand."""
LOG_EVERY_S = 60
"""As often as a step tells its progress. Each time the task is started anew, for seconds of the scheduler's machine."""


class KubernetesStepOperator(StepLauncher, KubernetesPodOperator):
    """Run a step in a pod of its profile.

    Success is what the receipt says, never the pod's state: a task whose own process is terminated deletes its pod
    and would be recorded as success (apache/airflow #71202, #73006). Failures are raised in types, see `failures.py`.
    """

    template_fields = (*KubernetesPodOperator.template_fields, *StepLauncher.step_fields)

    def __init__(
        self,
        *,
        step: str,
        step_arguments: dict[str, Any],
        item: Any = "",
        skip_if_no: str = "",
        skip_without: str = "",
        **kwargs: Any,
    ) -> None:
        placement = PLACEMENTS[step]
        profile = placement.profile
        super().__init__(
            name=f"airscript-{step}",
            namespace=settings().namespace,
            cmds=["python"],
            base_container_name=CONTAINER,
            labels={
                "app.kubernetes.io/part-of": "airscript",
                "app.kubernetes.io/component": step,
                "airscript.io/role": placement.role,
                "airscript.io/team": settings().team,
            },
            service_account_name=placement.service_account,
            # The identity on AWS comes as a token of its own; the step never talks to Kubernetes.
            automount_service_account_token=False,
            env_vars=[k8s.V1EnvVar(name=name, value=value) for name, value in _environment().items()],
            env_from=_secret_environment(),
            volume_mounts=[
                k8s.V1VolumeMount(name="scratch", mount_path=SCRATCH),
                k8s.V1VolumeMount(name="shm", mount_path="/dev/shm"),
            ],
            security_context=k8s.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=USER_ID,
                run_as_group=USER_ID,
                fs_group=USER_ID,
                seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
            ),
            container_security_context=k8s.V1SecurityContext(
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=k8s.V1Capabilities(drop=["ALL"]),
            ),
            # An image is named by version or digest, so what a node has is right.
            image_pull_policy="IfNotPresent",
            # The last lines of the log are the reason of a failure; no step writes a termination message.
            termination_message_policy="FallbackToLogsOnError",
            startup_timeout_seconds=profile.start_timeout_s,
            schedule_timeout_seconds=profile.start_timeout_s,
            termination_grace_period=profile.grace_s,
            # No process of Airflow waits for a pod that runs for hours, and none can be lost.
            deferrable=True,
            poll_interval=10,
            logging_interval=LOG_EVERY_S,
            # After a restart the next try takes over the pod that runs.
            durable=True,
            # A pod that is kept could be taken over dead.
            on_finish_action="delete_pod",
            log_events_on_failure=True,
            # It prints the environment into the log.
            log_pod_spec_on_failure=False,
            # No sidecar: results lie in storage. It is set after the pod's end, for the return value of the task.
            do_xcom_push=False,
            container_name_log_prefix_enabled=False,
            **kwargs,
        )
        self.step = step
        self.step_arguments = step_arguments
        self.item = item
        self.skip_if_no = skip_if_no
        self.skip_without = skip_without

    def profile(self, context: Context | None) -> Profile:
        """The step's profile, or the one that earlier failures ask for: larger, or not on Spot."""
        profile = PLACEMENTS[self.step].profile
        failures = failed_attempts(context)
        if failures[StepOutOfMemory.__name__] and profile.larger:
            return PROFILES[profile.larger]
        ti = (context or {}).get("ti")
        last_try = ti is not None and 0 < ti.max_tries < ti.try_number
        if profile.on_demand and (failures[StepPreempted.__name__] >= SPOT_TRIES or last_try):
            return PROFILES[profile.on_demand]
        return profile

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """The pod: this try's profile, and the step's argument vector."""
        assert context is not None
        profile = self.profile(context)
        self.arguments = self.command(context)
        self.image = profile.image or (settings().gpu_image if profile.gpus else settings().cpu_image)
        self.node_selector = profile.node_selector
        self.tolerations = [k8s.V1Toleration(**toleration) for toleration in profile.tolerations]
        self.priority_class_name = profile.priority_class
        self.container_resources = k8s.V1ResourceRequirements(requests=profile.requests, limits=profile.limits)
        self.active_deadline_seconds = int(profile.deadline.total_seconds())
        self.volumes = [
            k8s.V1Volume(name="scratch", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=profile.scratch)),
            k8s.V1Volume(name="shm", empty_dir=k8s.V1EmptyDirVolumeSource(medium="Memory")),
        ]
        if profile.gpus:
            # Moving a pod to a cheaper node would cost more than it saves.
            self.annotations = {"karpenter.sh/do-not-disrupt": "true"}
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        pod.metadata.labels["airscript.io/profile"] = profile.name
        # A volume that grows beyond its limit costs the pod, and a step cannot ask how large it may be.
        pod.spec.containers[0].env.append(k8s.V1EnvVar(name="AIRSCRIPT_SCRATCH", value=profile.scratch))
        # The sandbox is process 1, so a step gets signals as any process does, and what it orphans is reaped.
        pod.spec.share_process_namespace = True
        if self.item:
            # Not among self.labels: those are the selector by which a restarted task finds its pod.
            pod.metadata.labels["airscript.io/item"] = make_safe_label_value(str(self.item))
        return pod

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        running = self._get_pod_from_task_state_store(context) or self.find_pod(
            pod_request_obj.metadata.namespace, context=context
        )
        if running is None:
            # A pod that runs, or has just ended, may have left its receipt already: only a new one starts without.
            delete_receipt(self.receipt_uri(context))
        return super().get_or_create_pod(pod_request_obj, context)

    def convert_config_file_to_dict(self) -> None:
        """Leave the triggerer to its own configuration and rights: the provider would store ours, with its token, in
        Airflow's database."""
        self._config_dict = None

    def defer(self, *, trigger: Any, **kwargs: Any) -> NoReturn:
        """Wait for the pod with our trigger."""
        super().defer(trigger=StepPodTrigger.of(trigger), **kwargs)

    def execute(self, context: Context) -> Any:
        """Start the pod, or take over the one that runs; deferrable, so this ends by waiting for the trigger."""
        with self._typed_failures(context):
            super().execute(context)
        return self._conclude(context)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """The pod has ended."""
        with self._typed_failures(context):
            super().trigger_reentry(context, event)
        return self._conclude(context)

    def cleanup(
        self,
        pod: k8s.V1Pod,
        remote_pod: k8s.V1Pod,
        xcom_result: dict[str, Any] | None = None,
        context: Context | None = None,
    ) -> None:
        """Read the pod as it stands before it is deleted: the reason of its end is written there, late sometimes."""
        last = self._read_pod(remote_pod or pod) if not self._killed else None
        try:
            super().cleanup(pod, remote_pod, xcom_result, context)
        except AirflowSkipException:
            raise
        except Exception as error:
            assert context is not None
            if last is None and remote_pod.status.phase in PodPhase.terminal_states:
                last = remote_pod  # removed after its end
            raise failure_of_pod(last, CONTAINER, self._receipt(context)) from error

    @contextmanager
    def _typed_failures(self, context: Context) -> Iterator[None]:
        """Inside, whatever goes wrong becomes one of the step's failures; a result that stands there wins over it."""
        try:
            yield
        except Exception as error:
            receipt = self._receipt(context)
            if receipt is not None and receipt.status is not Status.FAILED and not self._killed:
                self.log.warning("%s: the pod ended badly (%s), but its result is complete", self.step, error)
                return
            if isinstance(error, StepFailure):
                raise
            if isinstance(error, PodNotFoundException) or (isinstance(error, ApiException) and error.status == 404):
                raise StepPreempted(f"{self.step}: the pod is gone") from error
            if isinstance(error, PodLaunchFailedException | PodLaunchTimeoutException):
                raise StepStartTimeout(f"{self.step}: {error}") from error
            raise
        if self._killed:
            raise StepPreempted(f"{self.step}: stopped on request")

    def _conclude(self, context: Context) -> Any:
        value = self.conclude(context, self._receipt(context))
        # Read by the task runner after this: without it nothing can be mapped over the return value.
        self.do_xcom_push = True
        return value

    def _receipt(self, context: Context) -> Receipt | None:
        return read_receipt(self.receipt_uri(context))

    def _read_pod(self, pod: k8s.V1Pod | None) -> k8s.V1Pod | None:
        if pod is None:
            return None
        try:
            return self.pod_manager.read_pod(pod)
        except ApiException as error:
            if error.status == 404:
                return None
            raise


def _secret_environment() -> list[k8s.V1EnvFromSource]:
    """For storage without roles for service accounts: credentials by reference, never by value."""
    name = settings().pod_secret
    return [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=name))] if name else []


def _environment() -> dict[str, str]:
    """The root file system is read-only: everything that libraries write goes to the scratch volume."""
    writable = dict.fromkeys(("HOME", "TMPDIR", "HF_HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), SCRATCH)
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {
        **writable,
        **offline,
        "PYANNOTE_METRICS_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
        **dict(settings().pod_environment),
    }
