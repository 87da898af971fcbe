"""Whether an S3 server works: a bucket, an object in it, and the object again."""

from collections.abc import Callable

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"
REGION = "us-east-1"


def s3_probe(endpoint: str) -> Callable[[], None]:
    """A check that raises until the server at ``endpoint`` has kept an object."""

    def probe() -> None:
        import boto3
        from botocore.config import Config

        client = boto3.client(
            "s3", endpoint_url=endpoint, region_name=REGION, aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(connect_timeout=2, read_timeout=20, retries={"max_attempts": 0}),
        )  # fmt: skip
        try:
            if "ready-probe" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket="ready-probe")
            client.put_object(Bucket="ready-probe", Key="ready", Body=b"ready")
            body = client.get_object(Bucket="ready-probe", Key="ready")["Body"]
            if body.read() != b"ready":
                raise ConnectionError("an object came back otherwise")
            body.close()
        finally:
            client.close()

    return probe


def s3_variables(name: str, endpoint: str) -> dict[str, str]:
    """The variables of the server ``name``, whose bucket owner is the key above."""
    return {f"{name}_ENDPOINT": endpoint, f"{name}_ACCESS_KEY": ACCESS_KEY, f"{name}_SECRET_KEY": SECRET_KEY}
