"""The rate budget of several machines, in Redis: the rules of ``FileBudget``, by Redis' own clock."""

from etl_assets.backends.rate_budget import MARGIN, Limits, Reservation, out_of_budget
from etl_assets.backends.redis_client import RedisServer

# One list of "start tokens number" in the order of asking, so that starts never descend. Scripts run one at a time.
_RESERVE = """
local now = redis.call('TIME'); now = now[1] + now[2] / 1000000
local window, requests, tokens, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local asked = tonumber(ARGV[5])
local rows, total = {}, 0
for _, row in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local start, id = string.match(row, '(%S+) (%S+)')
  local used = tonumber(redis.call('HGET', KEYS[2], id) or '0')
  if tonumber(start) <= now - window then
    redis.call('LPOP', KEYS[1]); redis.call('HDEL', KEYS[2], id)
  else
    rows[#rows + 1] = {tonumber(start), used}; total = total + used
  end
end
local start = now
if #rows > 0 then start = math.max(start, rows[#rows][1]) end
start = math.max(start, tonumber(redis.call('GET', KEYS[3]) or '0'))
local count = #rows
for _, row in ipairs(rows) do
  local room = (requests == 0 or count + 1 <= requests) and (tokens == 0 or total + asked <= tokens)
  if row[1] + window > start and room then break end
  start = math.max(start, row[1] + window); count = count - 1; total = total - row[2]
end
if start - now > patience then return {'-1', tostring(start - now)} end
local id = redis.call('INCR', KEYS[4])
redis.call('RPUSH', KEYS[1], string.format('%.6f %d', start, id))
redis.call('HSET', KEYS[2], id, asked)
local ttl = math.ceil(window + start - now) + 1
for i = 1, 2 do redis.call('EXPIRE', KEYS[i], ttl) end
return {tostring(id), tostring(start - now)}
"""

_SETTLE = "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end"

_PAUSE = """
local now = redis.call('TIME'); now = now[1] + now[2] / 1000000
local till = math.max(now + ARGV[1], tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%.6f', till), 'EX', math.ceil(till - now) + 1)
"""


class RedisBudget:
    """Budget of everybody who names the same ``name`` in one Redis. Every method may raise TransientError."""

    def __init__(self, server: RedisServer, limits: Limits, *, name: str) -> None:
        self._server = server
        self._limits = limits
        self._name = name
        # The braces keep the keys of one budget on one node of a cluster, as a script must have them.
        self._keys = [f"etl-assets:budget:{{{name}}}:{part}" for part in ("starts", "tokens", "pause", "number")]

    def reserve(self, tokens: int, *, patience_s: float) -> Reservation:
        """Leave for a request of about ``tokens`` tokens; see ``Budget``."""
        limits, window_s = self._limits, self._limits.window_s * MARGIN
        arguments = [window_s, limits.requests or 0, limits.tokens or 0, patience_s, tokens]
        number, wait_s = self._server.run(lambda client: client.eval(_RESERVE, 4, *self._keys, *arguments))
        if int(number) < 0:
            raise out_of_budget(self._name, limits, float(wait_s), patience_s)
        return Reservation(int(number), max(float(wait_s), 0.0))

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Correct the tokens of a reservation; one that has left the window already is no error."""
        self._server.run(lambda client: client.eval(_SETTLE, 1, self._keys[1], reservation.number, tokens))

    def pause(self, seconds: float) -> None:
        """Nobody starts a request for so long, nor sooner than an earlier pause ends."""
        self._server.run(lambda client: client.eval(_PAUSE, 1, self._keys[2], seconds))
