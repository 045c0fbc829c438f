-- Puts another context in the place of one that is unchanged; the time before it stays.
-- KEYS: the record. ARGV: the old context, the new one, how many bytes the time takes.
local record = redis.call('GET', KEYS[1])
local size = tonumber(ARGV[3])
if not record or string.sub(record, size + 1) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], string.sub(record, 1, size) .. ARGV[2], 'KEEPTTL')
return 1
