-- Keeps a revocation under the next mark. Marks grow with the server's clock, too, so that they go on
-- growing after the server has lost its data: replicas then still see what is new. They count microseconds,
-- as nobody revokes faster: marks that had run ahead of the clock would come again, and be taken for old.
-- KEYS: the last mark, revocations by mark, revocations by time. ARGV: the revocation, until when.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mark = math.max((tonumber(redis.call('GET', KEYS[1])) or 0) + 1, now)
redis.call('SET', KEYS[1], string.format('%.0f', mark))
redis.call('ZADD', KEYS[2], string.format('%.0f', mark), ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
return mark
