-- Counts one request against a limit (GCRA). The key holds the time, in microseconds, from which on
-- nothing is left of the requests counted so far; the server's clock is that of all replicas.
-- KEYS: the counter. ARGV: microseconds that one request costs, how many may come at once.
-- Answers 0 if the request is within the limit, else the microseconds until one is.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, most = tonumber(ARGV[1]), tonumber(ARGV[1]) * tonumber(ARGV[2])
local rest = math.max((tonumber(redis.call('GET', KEYS[1])) or now) - now, 0)
local function keep(rest)
    redis.call('SET', KEYS[1], string.format('%.0f', now + rest), 'PX', math.ceil(rest / 1000))
end
-- More than the whole is left after a change of the limit, or of the clock. It is kept as the whole, which
-- is then given back; else nobody would be let through until the time in the key is near.
if rest > most then
    rest = most
    keep(rest)
end
if rest + cost > most then
    return rest + cost - most
end
keep(rest + cost)
return 0
