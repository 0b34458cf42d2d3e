"""A job queue for ordinary, synchronous, threaded Python programs.

    import gaffer

    def greet(job: gaffer.Job) -> None:
        print(f"Hello, {job.payload['name']}!")

    gaffer.ensure_queue("greetings", worker=greet)
    gaffer.insert("greetings", {"name": "world"})
    gaffer.flush("greetings")

The functions here are the methods of one default `Gaffer`. Importing starts nothing: no thread, no
connection, no search for drivers.
"""

from gaffer.conf import NewJob, PruneConf, QueueConf
from gaffer.diagnosis import Reason, Why, WhyCode
from gaffer.errors import (
    AlreadyActive,
    AlreadyForwarded,
    AlreadyPaused,
    Conflict,
    DrainTimeout,
    DriverError,
    DriverUnavailable,
    FlushTimeout,
    GafferError,
    InvalidArguments,
    InvalidDriver,
    InvalidJob,
    InvalidPayload,
    InvalidQueueConf,
    InvalidTask,
    InvalidTransition,
    JobExists,
    JobTimeout,
    KeyHeld,
    MigrationMismatch,
    QueueExists,
    QueueHasJobs,
    ResultCancelled,
    ResultError,
    ResultFailed,
    ResultGone,
    ResultTimeout,
    Stopped,
    UnknownDriver,
    UnknownJob,
    UnknownQueue,
)
from gaffer.events import (
    Actor,
    Event,
    Hook,
    JobCancelled,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobInserted,
    JobLate,
    JobReplaced,
    JobRescued,
    JobScheduled,
    JobsClaimed,
    QueueCreated,
    QueueDeleted,
    QueuePaused,
    QueueResumed,
    QueueStuck,
    QueueUpdated,
    RunnerFailed,
)
from gaffer.execution import Attempt, current
from gaffer.futures import ResultFuture
from gaffer.hand import ClaimedJob, Claiming
from gaffer.health import DriverHealth, Finding, Health, QueueHealth, StorageHealth
from gaffer.info import QueueInfo, Redriven, WorkersInfo
from gaffer.instance import Gaffer
from gaffer.job import (
    JSON,
    Cancel,
    Complete,
    Exponential,
    Fail,
    Job,
    JobError,
    JobState,
    Outcome,
    Schedule,
    StateStats,
    Worker,
)
from gaffer.queue import Queue
from gaffer.schedules import Cron, Every
from gaffer.tasks import Task

default = Gaffer()
"""The `Gaffer` whose methods are the functions of this module."""

create_queue = default.create_queue
ensure_queue = default.ensure_queue
update_queue = default.update_queue
get_queue = default.get_queue
list_queues = default.list_queues
task = default.task
tasks = default.tasks
delete_queue = default.delete_queue
orphaned_queues = default.orphaned_queues
insert = default.insert
insert_many = default.insert_many
submit = default.submit
future = default.future
result = default.result
get = default.get
list = default.list
cancel = default.cancel
retry = default.retry
redrive = default.redrive
delete = default.delete
prune = default.prune
claim = default.claim
pause = default.pause
resume = default.resume
drain = default.drain
flush = default.flush
poll = default.poll
info = default.info
health = default.health
doctor = default.doctor
stats = default.stats
why = default.why
start = default.start
stop = default.stop
configure = default.configure

__all__ = [
    "JSON",
    "Actor",
    "AlreadyActive",
    "AlreadyForwarded",
    "AlreadyPaused",
    "Attempt",
    "Cancel",
    "ClaimedJob",
    "Claiming",
    "Complete",
    "Conflict",
    "Cron",
    "DrainTimeout",
    "DriverError",
    "DriverHealth",
    "DriverUnavailable",
    "Event",
    "Every",
    "Exponential",
    "Fail",
    "Finding",
    "FlushTimeout",
    "Gaffer",
    "GafferError",
    "Health",
    "Hook",
    "InvalidArguments",
    "InvalidDriver",
    "InvalidJob",
    "InvalidPayload",
    "InvalidQueueConf",
    "InvalidTask",
    "InvalidTransition",
    "Job",
    "JobCancelled",
    "JobCompleted",
    "JobDeleted",
    "JobError",
    "JobExists",
    "JobFailed",
    "JobInserted",
    "JobLate",
    "JobReplaced",
    "JobRescued",
    "JobScheduled",
    "JobState",
    "JobTimeout",
    "JobsClaimed",
    "KeyHeld",
    "MigrationMismatch",
    "NewJob",
    "Outcome",
    "PruneConf",
    "Queue",
    "QueueConf",
    "QueueCreated",
    "QueueDeleted",
    "QueueExists",
    "QueueHasJobs",
    "QueueHealth",
    "QueueInfo",
    "QueuePaused",
    "QueueResumed",
    "QueueStuck",
    "QueueUpdated",
    "Reason",
    "Redriven",
    "ResultCancelled",
    "ResultError",
    "ResultFailed",
    "ResultFuture",
    "ResultGone",
    "ResultTimeout",
    "RunnerFailed",
    "Schedule",
    "StateStats",
    "Stopped",
    "StorageHealth",
    "Task",
    "UnknownDriver",
    "UnknownJob",
    "UnknownQueue",
    "Why",
    "WhyCode",
    "Worker",
    "WorkersInfo",
    "cancel",
    "claim",
    "configure",
    "create_queue",
    "current",
    "default",
    "delete",
    "delete_queue",
    "doctor",
    "drain",
    "ensure_queue",
    "flush",
    "future",
    "get",
    "get_queue",
    "health",
    "info",
    "insert",
    "insert_many",
    "list",
    "list_queues",
    "orphaned_queues",
    "pause",
    "poll",
    "prune",
    "redrive",
    "result",
    "resume",
    "retry",
    "start",
    "stats",
    "stop",
    "submit",
    "task",
    "tasks",
    "update_queue",
    "why",
]
