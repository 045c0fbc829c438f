-- Counts one request against limits (GCRA): against all of them, or none if one is full. Each key holds the
-- time, in microseconds, from which on nothing is left of the requests counted so far; the server's clock is
-- that of all replicas.
-- KEYS: the counters. ARGV: for each, microseconds that one request costs, how many may come at once.
-- Answers whether one is full; the place, counted from one, of the first that is, else of the one that has the
-- least left, of several the one that takes the longest to give it back; how many that takes at once; and the
-- microseconds until it takes one, which are zero if it does now.
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
if full > 0 then
    return {1, full, 0, wait}
end
local nearest, left, longest = 0, 0, 0
for place, key in ipairs(KEYS) do
    keep(key, rests[place])
    local cost = tonumber(ARGV[2 * place - 1])
    local free = cost * tonumber(ARGV[2 * place]) - rests[place]
    local takes = math.floor(free / cost)
    local window = math.max(cost * takes, cost - free)
    if nearest == 0 or takes < left or (takes == left and window > longest) then
        nearest, left, longest, wait = place, takes, window, math.max(cost - free, 0)
    end
end
return {0, nearest, left, wait}
