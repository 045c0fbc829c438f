-- Which objects of the API have changed after a mark. A server that knows only earlier marks has lost its
-- data: then all that it has are new.
-- KEYS: the number of the latest change, changes by number. ARGV: the mark, how many at most.
-- Answers the mark that was begun with, then a name and its number for each change.
local since = ARGV[1]
if (tonumber(redis.call('GET', KEYS[1])) or 0) < tonumber(since) then
    since = '0'
end
local changes = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. since, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return { since, changes }
