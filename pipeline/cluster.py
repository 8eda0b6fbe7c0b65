"""Recordings spread over a Ray cluster: one process per accelerator, each with the whole pipeline and warm models.

Ray (Apache-2.0) starts the processes, finds free accelerators, starts a process again that died and hands it the
recording that it was at; its stages that were finished come from the cache. Paths must mean the same on every
machine: recordings, results and, where finished stages are to be shared, the cache folder lie on a shared file
system. Ray's usage reports are switched off.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

from pipeline.batch import Task, do, failed
from schemas.batch import FileReport
from schemas.errors import BackendUnavailable, JobError

RETRIES = 2  # of a recording whose process died: a third death is taken to be the recording's own doing
_ANSWER_S = 5.0


class Worker:
    """A process of the cluster. It does one recording at a time, always in the same thread."""

    def __init__(self) -> None:
        from pipeline.cache import Cache
        from pipeline.pool import ModelPool

        self._pool, self._cache = ModelPool(), Cache()

    def transcribe(self, task: Task) -> FileReport:
        """The report of a recording; an error is a report, too, so that the process and its models live on."""
        import platform

        try:
            report = do(task, self._pool, self._cache)
        except Exception as error:
            report = failed(task.path, error)
        return report.model_copy(update={"worker": f"{platform.node()}:{os.getpid()}"})


def spread(
    tasks: Sequence[Task], address: str | None = None, workers: int | None = None
) -> Iterator[FileReport]:
    """Reports in the order of ``tasks``, each as soon as it and those before it are there.

    ``address`` is an existing cluster's, as for ``ray.init``; none starts one on this machine that ends with the
    iterator. ``workers`` is the number of processes; none stands for one per GPU of the cluster, or one per
    machine where there are no GPUs. A process has one recording at a time: no more are in flight than can be done.
    Raises :class:`BackendUnavailable` where Ray is missing or the cluster cannot be reached.
    """
    with redirect_stdout(sys.stderr):  # Ray prints what happens to its processes, from threads of its own
        ray = _connected(address)
        try:
            yield from _reports(ray, tasks, _workers(ray, workers))
        finally:
            ray.shutdown()


def _connected(address: str | None) -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise BackendUnavailable("--ray needs Ray", hint='pip install "whisperx-mlx-mcp[ray]"') from None
    try:
        _knock(address)
        ray.init(
            address=address or "local", include_dashboard=False, log_to_driver=False, logging_level="error"
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise BackendUnavailable(
            f"the Ray cluster {address or 'on this machine'} cannot be reached: {type(error).__name__}",
            hint="`ray status` on one of its machines shows whether it runs",
        ) from None
    return ray


def _knock(address: str | None) -> None:
    """Raises :class:`OSError` where nobody listens: Ray itself would go on trying for minutes."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()


def _workers(ray: Any, workers: int | None) -> list[Any]:
    """Handles of the processes, spread over the machines, each with a GPU where there are any."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    machines = sum(node["Alive"] for node in ray.nodes())
    remote = ray.remote(Worker).options(
        num_gpus=1 if gpus else 0,
        num_cpus=0 if gpus else 1,
        scheduling_strategy="SPREAD",
        max_restarts=-1,
        max_task_retries=RETRIES,
    )
    return [remote.remote() for _ in range(workers or gpus or machines)]


def _reports(ray: Any, tasks: Iterable[Task], workers: Sequence[Any]) -> Iterator[FileReport]:
    numbered = enumerate(tasks)
    running: dict[Any, tuple[int, Task, Any]] = {}
    finished: dict[int, FileReport] = {}
    told = 0

    def begin(worker: Any) -> None:
        if (following := next(numbered, None)) is not None:
            running[worker.transcribe.remote(following[1])] = (*following, worker)

    for worker in workers:
        begin(worker)
    while running:
        (reference,), _ = ray.wait(list(running), num_returns=1)
        number, task, worker = running.pop(reference)
        finished[number] = _report(ray, reference, task)
        begin(worker)
        while told in finished:
            yield finished.pop(told)
            told += 1


def _report(ray: Any, reference: Any, task: Task) -> FileReport:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError:
        error = JobError(
            f"the process that transcribed it died, {RETRIES + 1} times",
            code="worker_died",
            hint="transcribe this recording by itself; less memory is needed with a smaller --batch_size",
        )
        return failed(task.path, error)
