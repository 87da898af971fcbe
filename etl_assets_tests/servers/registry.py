"""Every server of the tests, by name, in an order in which each comes after those it needs."""

from etl_assets_tests.servers import (
    arcadedb,
    elasticmq,
    minio,
    moto,
    neo4j,
    openbao,
    pgbouncer,
    postgres,
    rabbitmq,
    redis,
    seaweedfs,
    toxiproxy,
)
from etl_assets_tests.servers.model import Recipe

_ORDER = (
    postgres, pgbouncer, redis, minio, moto, neo4j, rabbitmq, openbao, elasticmq, toxiproxy, seaweedfs, arcadedb,
)  # fmt: skip

RECIPES: dict[str, Recipe] = {module.RECIPE.name: module.RECIPE for module in _ORDER}
