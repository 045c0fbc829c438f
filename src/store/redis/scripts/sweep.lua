-- Drops some revocations that are over.
-- KEYS: revocations by mark, revocations by time. ARGV: the time, how many at most.
-- Answers how many it were.
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, revocation in ipairs(over) do
    redis.call('ZREM', KEYS[1], revocation)
    redis.call('ZREM', KEYS[2], revocation)
end
return #over
