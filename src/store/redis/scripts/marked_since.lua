-- What was kept behind a mark (revocations, closings), and the last mark. A server that knows only earlier marks
-- has lost its data: then all that it has are new.
-- KEYS: the last mark, what is kept by mark. ARGV: the mark.
local last = tonumber(redis.call('GET', KEYS[1])) or 0
local since = ARGV[1]
if last < tonumber(since) then
    since = '0'
end
return { last, redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. since, '+inf') }
