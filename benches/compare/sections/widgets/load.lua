-- A request about a widget that chance names: ids follow from numbers, as `ids.rs` makes them.
wrk.method = "@method@"
wrk.body = '@body@'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["@credential@"] = "@proof@"

local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

local function base36(number, length)
  local digits = {}
  for place = length, 1, -1 do
    local digit = number % 36
    digits[place] = DIGITS:sub(digit + 1, digit + 1)
    number = (number - digit) / 36
  end
  return table.concat(digits)
end

local function id(number)
  return "c" .. base36(@first@ + number * @step@, 8) .. base36(number * @spread@, 16)
end

-- No two runs begin within a second, and none asks for what the one before has left at hand.
math.randomseed(os.time())

function request()
  return wrk.format(nil, "@before@" .. id(math.random(@lowest@, @highest@)) .. "@after@")
end
