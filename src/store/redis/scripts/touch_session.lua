-- Notes that something happened in a chat session that is open. A record begins with three times of eight
-- bytes (when it is over, when it was active, when it was opened) and a byte of flags: 1 closed, 2 started.
-- KEYS: the session, its visitor's last if that one may find it again. ARGV: its digest, when it is over now,
-- when it was active, 1 if the visitor said something, the server's margin, the last time it can keep.
-- Answers whether there is one and it is open.
local record = redis.call('GET', KEYS[1])
if not record then
    return 0
end
local flags = string.byte(record, 25)
if flags % 2 == 1 then
    return 0
end
local over = math.max((struct.unpack('>I8', record)), tonumber(ARGV[2]))
local active = math.max((struct.unpack('>I8', record, 9)), tonumber(ARGV[3]))
if ARGV[4] == '1' and flags % 4 < 2 then
    flags = flags + 2
end
local forgotten = string.format('%.0f', math.min(over + tonumber(ARGV[5]), tonumber(ARGV[6])))
local head = struct.pack('>I8I8', over, active) .. string.sub(record, 17, 24) .. string.char(flags)
redis.call('SET', KEYS[1], head .. string.sub(record, 26), 'PXAT', forgotten)
local last = KEYS[2] and redis.call('GET', KEYS[2])
if last and string.match(last, '^%x+') == ARGV[1] then
    redis.call('SET', KEYS[2], last, 'PXAT', forgotten)
end
return 1
