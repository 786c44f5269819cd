local requests = {}
local at = 0

init = function()
  for line in io.lines("SCRATCH/rows.csv") do
    local id, name = line:match("(%d+),(.*)")
    if id then
      requests[#requests + 1] = wrk.format("GET", "/users/" .. id, {["X-User"] = name})
    end
  end
end

request = function()
  at = at % #requests + 1
  return requests[at]
end
