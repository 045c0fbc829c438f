-- Adds usage of widgets; what is of no widget is dropped.
-- KEYS: for each, the widget and its usage, which is some counts with spaces between. ARGV: where a count ends,
-- how many counts there are; then the counts of each.
local most, size = tonumber(ARGV[1]), tonumber(ARGV[2])
for widget = 1, #KEYS / 2 do
    if redis.call('EXISTS', KEYS[2 * widget - 1]) == 1 then
        local counts, first = {}, 2 + (widget - 1) * size
        for count in string.gmatch(redis.call('GET', KEYS[2 * widget]) or '', '%d+') do
            counts[#counts + 1] = tonumber(count)
        end
        for place = 1, size do
            local sum = math.min((counts[place] or 0) + tonumber(ARGV[first + place]), most)
            counts[place] = string.format('%.0f', sum)
        end
        redis.call('SET', KEYS[2 * widget], table.concat(counts, ' '))
    end
end
