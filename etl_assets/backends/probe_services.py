"""Trying services: models, caches, queues and stores of secrets. Nothing that costs is asked unless it is allowed."""

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from etl_assets.backends.http_calls import Answer, HttpApi, Patience, Request
from etl_assets.errors import PermanentError, TransientError
from etl_assets.protocols.probes import Finding, too_old

if TYPE_CHECKING:
    from etl_assets.backends.redis_client import RedisServer
    from etl_assets.backends.vault_secrets import VaultSecrets
    from etl_assets.protocols.embedder import Embedder
    from etl_assets.protocols.keys import MasterKey
    from etl_assets.protocols.secrets import Secrets

QUICK = Patience(attempts=1, total_s=5.0, base_s=0.0, cap_s=0.0, answers=1)
QUICK_S = 5.0
OLDEST_REDIS = (6,)
OLDEST_RABBITMQ = (3, 8)
_WORD = "probe"


def probe_api(found: Finding, api: HttpApi, path: str, body: Mapping[str, Any], *, paid: bool, empty: str) -> None:
    """An API of models. With ``paid`` one word is sent; without, a request that costs nothing, since it has no text.

    ``body`` is the request of one word, ``empty`` its field that is emptied: the key is judged before the content.
    """
    if paid:
        found.time(lambda: api.call(Request("POST", path, body), _anything))
        found.rights["use"] = True
        return
    nothing = Request("POST", path, {**body, empty: []}, accepts=(400, 404, 422))
    found.time(lambda: api.call(nothing, _anything))
    found.notes.append("the key was accepted; whether the model answers was not tried: it costs, use --paid")


def _anything(answer: Answer) -> Answer:
    return answer


def probe_embedder(found: Finding, embedder: "Embedder") -> None:
    """A packaged or local model: one word is embedded, as a document is."""
    found.time(lambda: embedder.embed_documents([_WORD]))
    found.version = embedder.model.name
    found.rights["use"] = True
    found.limits["dimension"] = str(embedder.model.dimension)


def probe_redis(found: Finding, server: "RedisServer") -> None:
    """Redis: version, memory, and a key that is written, read and removed."""
    try:
        about = server.run(lambda client: client.info())
        found.time(lambda: server.run(lambda client: client.ping()))
        found.version = f"Redis {about.get('redis_version', '')}"
        if old := too_old("Redis", str(about.get("redis_version", "")), OLDEST_REDIS):
            found.problems.append(old)
        limit = int(about.get("maxmemory", 0))
        found.limits["memory"] = f"{limit / 1e6:,.0f} MB" if limit else "none set"
        found.limits["when it is full"] = str(about.get("maxmemory_policy", ""))
        if limit and about.get("maxmemory_policy") == "noeviction":
            found.notes.append("it refuses writes when it is full: set maxmemory-policy to allkeys-lru")
        key = f"etl-assets-probe:{uuid4().hex}"
        _redis_cycle(found, server, key)
    finally:
        server.close()


def _redis_cycle(found: Finding, server: "RedisServer", key: str) -> None:
    server.run(lambda client: client.set(key, _WORD, ex=60))
    found.rights["write"] = True
    found.rights["read"] = server.run(lambda client: client.get(key)) in (_WORD, _WORD.encode())
    found.rights["delete"] = server.run(lambda client: client.delete(key)) == 1
    if not all(found.rights.values()):
        found.problems.append("Redis did not give back what was written; is it a cluster's replica, or full?")


def probe_broker(found: Finding, url: str) -> None:
    """RabbitMQ: a queue of this connection's own, one message through it."""
    kombu: Any = importlib.import_module("kombu")  # it has no types
    connection = kombu.Connection(url, connect_timeout=QUICK_S, transport_options={"max_retries": 0})
    errors = (*connection.connection_errors, *connection.channel_errors, kombu.exceptions.KombuError, OSError)
    place = _place(url)
    try:
        connection.connect()
        about = getattr(connection.connection, "server_properties", {})
        found.version = f"{about.get('product', 'AMQP')} {about.get('version', '')}".strip()
        if old := too_old("RabbitMQ", str(about.get("version", "")), OLDEST_RABBITMQ):
            found.problems.append(old)
        name = f"etl-assets-probe-{uuid4().hex}"
        queue = connection.SimpleBuffer(name)  # it is gone with this connection
        found.time(lambda: _through(queue))
        queue.close()
        found.rights.update({"declare": True, "write": True, "read": True})
        found.limits["heartbeat"] = f"{connection.get_heartbeat_interval() or 0:g} s"
    except errors as e:
        # The driver's words may hold the address, and the address holds the password.
        kind = type(e).__name__
        refused = "AccessRefused" in kind or "NotAllowed" in kind or "ACCESS_REFUSED" in str(e)
        error = PermanentError if refused else TransientError
        said = "it refused this user; check user, password and virtual host" if refused else "is it running?"
        raise error(f"RabbitMQ at {place}: {kind}; {said}") from None
    finally:
        connection.release()


def _through(queue: Any) -> None:
    queue.put(_WORD, serializer="json")
    queue.get(timeout=QUICK_S)


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5672}"


def probe_queue(found: Finding, url: str, *, region: str | None, keys: Sequence[str | None]) -> None:
    """An SQS queue: its attributes. No message is received: a queue counts how often each one was.

    ``keys``: access key, its secret, session token; all ``None`` for boto3's own chain.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    host = urlsplit(url).hostname or ""
    endpoint = None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else url.partition("/queue")[0]
    if endpoint is not None:
        parts = urlsplit(url)
        endpoint = f"{parts.scheme}://{parts.netloc}"
    try:
        client = boto3.client(
            "sqs", region_name=region or ("us-east-1" if endpoint else None), endpoint_url=endpoint,
            aws_access_key_id=keys[0], aws_secret_access_key=keys[1], aws_session_token=keys[2],
            config=Config(connect_timeout=4, read_timeout=4, retries={"total_max_attempts": 1, "mode": "standard"}),
        )  # fmt: skip
        names = ["ApproximateNumberOfMessages", "MessageRetentionPeriod", "VisibilityTimeout"]
        answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        found.time(lambda: client.get_queue_attributes(QueueUrl=url, AttributeNames=names))
    except ClientError as e:
        code = str(e.response.get("Error", {}).get("Code", ""))
        raise PermanentError(f"the events queue: {code}; check its address, the region and the keys' rights") from None
    except BotoCoreError as e:
        raise TransientError(f"the events queue at {host}: {type(e).__name__}; is the address right?") from None
    found.rights["read attributes"] = True
    found.limits["messages waiting"] = str(answer.get("ApproximateNumberOfMessages", "?"))
    found.limits["kept for"] = f"{answer.get('MessageRetentionPeriod', '?')} s"
    found.limits["hidden while worked on"] = f"{answer.get('VisibilityTimeout', '?')} s"


def probe_vault(found: Finding, store: "VaultSecrets", *, mount: str, namespace: str, names: Sequence[str]) -> None:
    """Vault: its health, what the token may do below ``mount``, and every secret that a setting names."""
    headers = {"X-Vault-Namespace": namespace} if namespace else {}
    health = Request("GET", "/v1/sys/health", accepts=(429, 472, 473, 501, 503))
    about = _fields(store.api.call(health, _anything).body)
    found.version = str(about.get("version", ""))
    if about.get("sealed"):
        raise TransientError("Vault is sealed: unseal it")
    found.time(lambda: store.api.call(health, _anything))
    paths = sorted({name.partition("#")[0].strip("/") for name in names}) or ["etl-assets-probe"]
    asked = {f"{mount}/data/{path}": path for path in paths}
    ask = Request("POST", "/v1/sys/capabilities-self", {"paths": list(asked)}, headers=headers)
    answer = _fields(store.api.call(ask, _anything).body)
    capabilities = _fields(answer.get("data") or answer)
    held = [set(capabilities.get(path) or ()) for path in asked]
    found.rights["read"] = all(one & {"read", "root"} for one in held)
    found.rights["rotate"] = all("root" in one or {"create", "update"} & one for one in held)
    if not found.rights["rotate"]:
        found.notes.append(f"no right to write below {quote(mount)}/data: `etl-assets secrets rotate` needs it")
    probe_secrets(found, store, names)


def probe_secrets(found: Finding, store: "Secrets", names: Sequence[str]) -> None:
    """Every secret that a setting names can be read."""
    if not names:
        found.notes.append("no setting names a secret of it: write secret:NAME as a value")
    for name in names:
        found.attempt("read", lambda name=name: store.get(name))  # type: ignore[misc]
    if names and found.latency_ms is None and not found.problems:
        found.time(lambda: store.get(names[0]))
    if found.problems and names:
        found.rights["read"] = False


def _fields(body: object) -> Mapping[str, Any]:
    return body if isinstance(body, dict) else {}


def probe_master_keys(found: Finding, keys: Sequence["MasterKey"]) -> None:
    """Master keys: a secret is wrapped with the first one, and unwrapped with it."""
    secret, context = uuid4().bytes + uuid4().bytes, f"etl-assets probe {uuid4().hex}"

    def cycle() -> None:
        if keys[0].unwrap(keys[0].wrap(secret, context), context) != secret:
            raise PermanentError("the master key unwraps another secret than it wrapped; check the key's store")

    found.time(cycle)
    found.rights.update({"wrap": True, "unwrap": True})
    for key in keys[1:]:
        found.attempt(f"open {key.label}", key.current)
