-- Counts one request against limits (GCRA): against all of them, or none if one is full. Each key holds the
-- time, in microseconds, from which on nothing is left of the requests counted so far; the server's clock is
-- that of all replicas.
-- KEYS: the counters. ARGV: for each, microseconds that one request costs, how many may come at once.
-- Answers two zeros if the request is within every limit; else the place of the first that is full, counted
-- from one, and the microseconds until it takes a request.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function keep(key, rest)
    redis.call('SET', key, string.format('%.0f', now + rest), 'PX', math.ceil(rest / 1000))
end
local full, wait, rests = 0, 0, {}
for place, key in ipairs(KEYS) do
    local cost = tonumber(ARGV[2 * place - 1])
    local most = cost * tonumber(ARGV[2 * place])
    local rest = math.max((tonumber(redis.call('GET', key)) or now) - now, 0)
    -- More than the whole is left after a change of the limit, or of the clock. It is kept as the whole, which
    -- is then given back; else nobody would be let through until the time in the key is near.
    if rest > most then
        rest = most
        keep(key, rest)
    end
    if full == 0 and rest + cost > most then
        full, wait = place, rest + cost - most
    end
    rests[place] = rest + cost
end
if full == 0 then
    for place, key in ipairs(KEYS) do
        keep(key, rests[place])
    end
end
return {full, wait}
