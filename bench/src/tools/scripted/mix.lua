local requests = {}
local at = 0

init = function()
  for page = 1, 10 do
    local request = wrk.format("GET", "/p/" .. page)
    for _ = page, 10 do requests[#requests + 1] = request end
  end
end

request = function()
  at = at % #requests + 1
  return requests[at]
end
