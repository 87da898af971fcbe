"""Every server of the tests, by name, in an order in which each comes after those it needs."""

from etl_assets_tests.servers import minio, moto, neo4j, openbao, pgbouncer, postgres, redis
from etl_assets_tests.servers.model import Recipe

RECIPES: dict[str, Recipe] = {
    module.RECIPE.name: module.RECIPE for module in (postgres, pgbouncer, redis, minio, moto, neo4j, openbao)
}
