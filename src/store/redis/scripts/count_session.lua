-- Counts a chat session that was opened.
-- KEYS: the day of the app: how many, how many of identified visitors, when the last of those. ARGV: 1 for an
-- identified visitor, when, for how many milliseconds the day is remembered.
local all, identified, last = 0, 0, 0
local kept = redis.call('GET', KEYS[1])
if kept then
    all, identified, last = string.match(kept, '^(%d+) (%d+) (%d+)$')
end
if ARGV[1] == '1' then
    identified, last = identified + 1, math.max(last, tonumber(ARGV[2]))
end
local counts = string.format('%.0f %.0f %.0f', all + 1, identified, last)
redis.call('SET', KEYS[1], counts, 'PX', ARGV[3])
return 1
