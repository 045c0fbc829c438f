-- The next request carries the next of the first @count@ tokens in a file, around and around.
wrk.method = "POST"
wrk.body = '@body@'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Origin"] = "@origin@"

local requests, count, at = {}, 0, @first@

-- All are formatted before the load, which shares its core with the upstream.
function init()
  for token in io.lines("@tokens@") do
    if count == @count@ then break end
    wrk.headers["Authorization"] = "Bearer " .. token
    count = count + 1
    requests[count] = wrk.format()
  end
end

function request()
  at = at % count + 1
  return requests[at]
end
