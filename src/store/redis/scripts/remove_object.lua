-- Removes an object of the API, if it has the revision that is expected, and forgets some removals that were
-- told for long enough; see write_object.lua.
-- KEYS: the object, the number of the latest change, changes by number, removals by time, its usage; then its
-- lists. ARGV: the revision, its id, its name among changes, for how many milliseconds a removal is told.
-- Answers whether it was removed.
local object = redis.call('GET', KEYS[1])
if not object or string.match(object, '^%d+') ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1], KEYS[5])
for place = 6, #KEYS do
    redis.call('ZREM', KEYS[place], ARGV[2])
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mark = string.format('%.0f', math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now))
redis.call('SET', KEYS[2], mark)
redis.call('ZADD', KEYS[3], mark, ARGV[3])
local millis = math.floor(now / 1000)
redis.call('ZADD', KEYS[4], string.format('%.0f', millis), ARGV[3])
local before = string.format('%.0f', millis - ARGV[4])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', before, 'LIMIT', 0, 16)) do
    redis.call('ZREM', KEYS[3], name)
    redis.call('ZREM', KEYS[4], name)
end
return 1
