-- Closes a chat session for good; see touch_session.lua for its record.
-- KEYS: the session.
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
return 1
