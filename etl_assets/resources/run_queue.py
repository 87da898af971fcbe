"""The queue of runs on RabbitMQ: its Celery application, for the daemon that sends and the workers that take.

A message names a run and nothing else; what the run is stands in Dagster's storage, which every machine reaches. A
message is acknowledged when its run has ended, so that the broker gives it to somebody else when a worker is lost.
"""

from typing import TYPE_CHECKING, Any

from etl_assets.errors import ConfigError

if TYPE_CHECKING:
    from celery import Celery

    from etl_assets.settings import Settings

QUEUE = "etl-assets"
"""Durable, as its messages are: neither is lost when the broker restarts. Installations that share a broker have a
virtual host each.
"""

EXECUTE_RUN = "etl_assets.execute_run"
BUSY_FILE = "WORKER_BUSY_FILE"
"""Variable of a worker process: a file that is kept locked while a run is executed."""

UNACKNOWLEDGED_LIMIT_MS = 7 * 24 * 3600 * 1000
"""RabbitMQ from 3.12 takes a message from a worker after 30 minutes unless its queue says otherwise."""

CONFIGURATION: dict[str, Any] = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": True,
    "task_store_errors_even_if_ignored": False,
    "worker_prefetch_multiplier": 1,
    # A run goes on while the broker restarts; what is delivered again meanwhile finds its heart beating.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_heartbeat": 10,
    "broker_transport_options": {"confirm_publish": True, "max_retries": 5, "interval_start": 0, "interval_step": 0.5},
    # Remote control would let whoever reaches the broker end workers; they are told by signals instead.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
}


def broker_url(settings: "Settings") -> str:
    """Where the queue is.

    Raises:
        ConfigError: no broker is set, or the packages for it are not installed.
    """
    if settings.celery is None:
        raise ConfigError("ETL_CELERY_BROKER_URL: missing; it names the RabbitMQ that hands out runs")
    from etl_assets.hosted_bindings import Connections

    return Connections(settings).text(settings.celery.broker_url)


def configure(app: "Celery") -> "Celery":
    """Give an application the queue and what holds for every message in it."""
    from kombu.entity import Exchange, Queue

    app.conf.update(CONFIGURATION)
    exchange = Exchange(QUEUE, type="direct", durable=True)  # type: ignore[no-untyped-call]
    limit = {"x-consumer-timeout": UNACKNOWLEDGED_LIMIT_MS}
    queue = Queue(QUEUE, exchange, routing_key=QUEUE, durable=True, queue_arguments=limit)  # type: ignore[no-untyped-call]
    app.conf.task_queues = [queue]
    app.conf.task_queue_max_priority = None  # the daemon's run queue orders runs; this one hands them out as they come
    app.conf.task_default_priority = None
    app.conf.task_default_queue = QUEUE
    app.conf.task_default_exchange = QUEUE
    app.conf.task_default_routing_key = QUEUE
    return app


def open_queue(broker: str) -> "Celery":
    """The application at this broker; nothing connects until a message is sent or taken.

    Raises:
        ConfigError: Celery is not installed.
    """
    try:
        from celery import Celery
    except ImportError as e:
        raise ConfigError("workers on several machines need Celery: pip install 'etl-assets[celery]'") from e
    return configure(Celery("etl_assets", broker=broker, set_as_current=False))


def waiting(app: "Celery") -> int:
    """How many runs wait in the queue for a worker.

    Raises:
        kombu.exceptions.OperationalError: the broker cannot be reached.
    """
    with app.connection_for_read(connect_timeout=5) as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        queue = app.amqp.queues[QUEUE](connection.default_channel)
        queue.declare()
        return int(queue.queue_declare(passive=True).message_count)
