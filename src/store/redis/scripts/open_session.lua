-- Keeps a new chat session; one of its id is never replaced. The session that its visitor opened last is
-- this one then, unless one was opened later: a backup may be read in any order.
-- KEYS: the session, its visitor's last if that one may find it again. ARGV: the session's record, its digest,
-- when the server may forget it, when it was opened.
-- Answers whether it was kept.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PXAT', ARGV[3]) then
    return 0
end
if KEYS[2] then
    local last = redis.call('GET', KEYS[2])
    if not last or tonumber(string.match(last, '%d+$')) <= tonumber(ARGV[4]) then
        redis.call('SET', KEYS[2], ARGV[2] .. ':' .. ARGV[4], 'PXAT', ARGV[3])
    end
end
return 1
