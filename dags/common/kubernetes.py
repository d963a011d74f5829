"""The operator that runs a step as a Kubernetes pod."""

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
    failure_from_pod,
)
from dags.common.launch import StepLauncher
from dags.common.pod_trigger import StepPodTrigger
from dags.common.profiles import MLFLOW_ACCOUNTS, PLACEMENTS, Profile, pod_profiles
from dags.common.receipts import delete_receipt, read_receipt
from dags.common.settings import settings
from tasks.contract import Receipt, Status

if TYPE_CHECKING:
    from airflow.sdk import Context

CONTAINER = "step"
SCRATCH = "/scratch"
USER_ID = 10001
SPOT_TRIES = 3
"""After this many preemptions a step runs on demand."""
LOG_EVERY_S = 60
"""How often the pod's log is fetched; the steps log their progress at the same interval. For each fetch the deferred
task leaves the triggerer and runs on a worker, which costs seconds of CPU time."""


class KubernetesStepOperator(StepLauncher, KubernetesPodOperator):
    """Run a step in a pod of its profile.

    The receipt decides about success, not the pod's state. When Airflow terminates the task's process, `on_kill`
    deletes the pod, and the provider then records the task as successful (apache/airflow #71202, #73006). Failures are
    raised as the exception types of `failures.py`, which decide how often a task is retried.
    """

    template_fields = (*KubernetesPodOperator.template_fields, *StepLauncher.step_fields)

    def __init__(
        self,
        *,
        step: str,
        step_arguments: dict[str, Any],
        item: Any = "",
        skip_if_label_is_no: str = "",
        skip_if_argument_is_empty: str = "",
        **kwargs: Any,
    ) -> None:
        """Parameters as in `dags.common.step.step`; others are the provider's."""
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
            # IRSA mounts its own token for AWS; steps do not call the Kubernetes API.
            automount_service_account_token=False,
            env_vars=[k8s.V1EnvVar(name=name, value=value) for name, value in _environment().items()]
            + _mlflow_environment(placement.role),
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
            # Images have a version or a digest, never a moving tag, so a cached image is the right one.
            image_pull_policy="IfNotPresent",
            # No step writes a termination message, so the last lines of the log explain a failure.
            termination_message_policy="FallbackToLogsOnError",
            startup_timeout_seconds=profile.start_timeout_s,
            schedule_timeout_seconds=profile.start_timeout_s,
            termination_grace_period=profile.grace_s,
            # Pods run for hours. While deferred, a task occupies no worker process that could be lost.
            deferrable=True,
            poll_interval=10,
            logging_interval=LOG_EVERY_S,
            # If the worker dies, the next try reattaches to the running pod.
            durable=True,
            # Not kept: a retry would reattach to the finished pod.
            on_finish_action="delete_pod",
            log_events_on_failure=True,
            # The spec contains the environment, which must not be logged.
            log_pod_spec_on_failure=False,
            # No XCom sidecar: results are in storage. `_conclude` sets this to True, so that Airflow pushes the value.
            do_xcom_push=False,
            container_name_log_prefix_enabled=False,
            **kwargs,
        )
        self.step = step
        self.step_arguments = step_arguments
        self.item = item
        self.skip_if_label_is_no = skip_if_label_is_no
        self.skip_if_argument_is_empty = skip_if_argument_is_empty

    def profile(self, context: Context | None) -> Profile:
        """The step's profile, or its fallback after earlier failures: larger, or on demand instead of Spot."""
        profile = PLACEMENTS[self.step].profile
        failures = failed_attempts(context)
        if failures[StepOutOfMemory.__name__] and profile.larger:
            return pod_profiles()[profile.larger]
        ti = (context or {}).get("ti")
        # Airflow's `max_tries` counts retries: try number `max_tries + 1` is the last. Without retries, Spot is enough.
        last_try = ti is not None and 0 < ti.max_tries < ti.try_number
        if profile.on_demand and (failures[StepPreempted.__name__] >= SPOT_TRIES or last_try):
            return pod_profiles()[profile.on_demand]
        return profile

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """The pod for this try: the profile's resources, and the step's argument vector."""
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
            # Keep Karpenter from consolidating the node: a restart costs more than a cheaper node saves.
            self.annotations = {"karpenter.sh/do-not-disrupt": "true"}
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        pod.metadata.labels["airscript.io/profile"] = profile.name
        # A pod that exceeds its scratch volume is evicted, and a step cannot read the limit from inside.
        pod.spec.containers[0].env.append(k8s.V1EnvVar(name="AIRSCRIPT_SCRATCH", value=profile.scratch))
        # Makes the pause container PID 1: the step keeps the default signal handling, and orphans are reaped.
        pod.spec.share_process_namespace = True
        if self.item:
            # Not in self.labels: those are the selector by which a restarted task finds its pod.
            pod.metadata.labels["airscript.io/item"] = make_safe_label_value(str(self.item))
        return pod

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        existing = self._get_pod_from_task_state_store(context) or self.find_pod(
            pod_request_obj.metadata.namespace, context=context
        )
        if existing is None:
            # Only before a new pod: an existing one may already have written its receipt.
            delete_receipt(self.receipt_uri(context))
        return super().get_or_create_pod(pod_request_obj, context)

    def convert_config_file_to_dict(self) -> None:
        """Store no kube config, so that the triggerer uses its own: the provider would save ours, with its token, in
        Airflow's database."""
        self._config_dict = None

    def defer(self, *, trigger: Any, **kwargs: Any) -> NoReturn:
        """Defer to `StepPodTrigger` instead of the provider's trigger."""
        super().defer(trigger=StepPodTrigger.from_trigger(trigger), **kwargs)

    def execute(self, context: Context) -> Any:
        """Start the pod or reattach to a running one, then defer."""
        with self._convert_failures(context):
            super().execute(context)
        # Deferring raises TaskDeferred, a BaseException that passes through. This line is reached if the pod had ended
        # already, so that the provider did not defer, or if an exception was ignored because of a successful receipt.
        return self._conclude(context)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """Continue after an event of the trigger: conclude if the pod has ended, else fetch its log and defer again."""
        with self._convert_failures(context):
            super().trigger_reentry(context, event)
        return self._conclude(context)

    def cleanup(
        self,
        pod: k8s.V1Pod,
        remote_pod: k8s.V1Pod,
        xcom_result: dict[str, Any] | None = None,
        context: Context | None = None,
    ) -> None:
        """Read the pod once more before deleting it: its status may give the reason of its end late."""
        final_pod = None if self._killed else self._read_pod(remote_pod or pod)
        try:
            super().cleanup(pod, remote_pod, xcom_result, context)
        except AirflowSkipException:
            raise
        except Exception as error:
            assert context is not None
            if final_pod is None and remote_pod.status.phase in PodPhase.terminal_states:
                # The pod has been deleted since, but the copy that the trigger returned is final.
                final_pod = remote_pod
            raise failure_from_pod(final_pod, CONTAINER, self._receipt(context)) from error

    @contextmanager
    def _convert_failures(self, context: Context) -> Iterator[None]:
        """Ignore an exception if the receipt reports success; otherwise convert it to a type of `failures.py`.

        A task that was killed fails as StepPreempted even without an exception.
        """
        try:
            yield
        except Exception as error:
            receipt = self._receipt(context)
            if receipt is not None and receipt.status is not Status.FAILED and not self._killed:
                self.log.warning("%s: the pod failed (%s) after its result was complete", self.step, error)
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
        # The task runner reads this flag next. Without it, no return value is pushed and later tasks cannot be mapped.
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
    """Credentials from a Kubernetes Secret, for storage without IAM roles for service accounts (not AWS)."""
    name = settings().pod_secret
    return [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=name))] if name else []


def _mlflow_environment(role: str) -> list[k8s.V1EnvVar]:
    """MLflow's address and the role's account; nothing for a role without one."""
    address, account, secret = settings().mlflow, MLFLOW_ACCOUNTS.get(role), settings().mlflow_secret
    if not address or not account:
        return []
    variables = [k8s.V1EnvVar(name="MLFLOW_TRACKING_URI", value=address)]
    if secret:
        password = k8s.V1EnvVarSource(secret_key_ref=k8s.V1SecretKeySelector(name=secret, key=account))
        variables += [
            k8s.V1EnvVar(name="MLFLOW_TRACKING_USERNAME", value=account),
            k8s.V1EnvVar(name="MLFLOW_TRACKING_PASSWORD", value_from=password),
        ]
    return variables


def _environment() -> dict[str, str]:
    """The pod's environment. The root file system is read-only, so libraries write to the scratch volume."""
    writable = dict.fromkeys(("HOME", "TMPDIR", "HF_HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), SCRATCH)
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {
        **writable,
        **offline,
        "PYANNOTE_METRICS_ENABLED": "0",
        "PYTHONUNBUFFERED": "1",
        **dict(settings().pod_environment),
    }
