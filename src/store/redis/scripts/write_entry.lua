-- Writes an entry of the registry, if the one of its id has the revision that is expected; 0 is none.
-- KEYS: the entries of the kind, the number of changes. ARGV: the id, the revision, the document.
-- Answers whether it was written.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
local revision = entry and string.match(entry, '^%d+') or '0'
if revision ~= ARGV[2] then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', tonumber(revision) + 1) .. ' ' .. ARGV[3])
redis.call('SET', KEYS[2], string.format('%.0f', (tonumber(redis.call('GET', KEYS[2])) or 0) + 1))
return 1
