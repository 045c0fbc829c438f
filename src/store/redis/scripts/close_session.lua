-- Closes a chat session for good; see touch_session.lua for its record. Replicas that have streams of it hear of
-- it by the next mark; see revoke.lua for what that is.
-- KEYS: the session, the mark of the last closing, closings by mark. ARGV: its digest, how many are remembered.
-- Answers whether there is one and it was open.
local record = redis.call('GET', KEYS[1])
if not record then
    return 0
end
local flags = string.byte(record, 25)
if flags % 2 == 1 then
    return 0
end
redis.call('SET', KEYS[1], string.sub(record, 1, 24) .. string.char(flags + 1) .. string.sub(record, 26), 'KEEPTTL')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local mark = string.format('%.0f', math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, now))
redis.call('SET', KEYS[2], mark)
redis.call('ZADD', KEYS[3], mark, ARGV[1])
for _, oldest in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1 - ARGV[2])) do
    redis.call('ZREM', KEYS[3], oldest)
end
return 1
