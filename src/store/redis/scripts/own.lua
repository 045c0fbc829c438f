-- Records an owner; one is never replaced by another.
-- KEYS: the conversation, the conversations of the end user. ARGV: the end user, the conversation.
-- Answers whether the conversation is this end user's.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
return 1
