-- Keeps a new chat session; one of its id is never replaced. The session that its visitor opened last is
-- this one then.
-- KEYS: the session, its visitor's last if that one may find it again. ARGV: the session's record, its id,
-- when the server may forget it.
-- Answers whether it was kept.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PXAT', ARGV[3]) then
    return 0
end
if KEYS[2] then
    redis.call('SET', KEYS[2], ARGV[2], 'PXAT', ARGV[3])
end
return 1
