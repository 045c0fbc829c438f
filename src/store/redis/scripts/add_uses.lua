-- Adds uses of service tokens: counts add up, of times the latest stays.
-- KEYS: the use counts, each as its count, a space and its time. ARGV: where a count ends; then for each
-- service token its name, how often, when last.
for index = 2, #ARGV, 3 do
    local count, last = tonumber(ARGV[index + 1]), tonumber(ARGV[index + 2])
    local kept = redis.call('HGET', KEYS[1], ARGV[index])
    if kept then
        local known, time = string.match(kept, '^(%d+) (%d+)$')
        count, last = count + tonumber(known), math.max(last, tonumber(time))
    end
    count = math.min(count, tonumber(ARGV[1]))
    redis.call('HSET', KEYS[1], ARGV[index], string.format('%.0f %.0f', count, last))
end
