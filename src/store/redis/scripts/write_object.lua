-- Writes an object of the API, if the one of its id has the revision that is expected; 0 is none. Numbers of
-- changes grow with the server's clock, too; see revoke.lua for why.
-- KEYS: the object, the number of the latest change, changes by number, removals by time; then the lists that
-- it leaves, then those that it joins. ARGV: the revision, what it says, its id, its name among changes, how
-- many lists it leaves.
-- Answers whether it was written.
local object = redis.call('GET', KEYS[1])
local revision = object and string.match(object, '^%d+') or '0'
if revision ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], string.format('%.0f', tonumber(revision) + 1) .. ' ' .. ARGV[2])
for place = 5, #KEYS do
    if place < 5 + tonumber(ARGV[5]) then
        redis.call('ZREM', KEYS[place], ARGV[3])
    else
        redis.call('ZADD', KEYS[place], 0, ARGV[3])
    end
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mark = string.format('%.0f', math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now))
redis.call('SET', KEYS[2], mark)
redis.call('ZADD', KEYS[3], mark, ARGV[4])
redis.call('ZREM', KEYS[4], ARGV[4])
return 1
