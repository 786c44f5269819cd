local rows = {}
local at = 0

init = function()
  for line in io.lines("SCRATCH/rows.csv") do
    local id, name = line:match("(%d+),(.*)")
    if id then rows[#rows + 1] = {"/users/" .. id, {["X-User"] = name}} end
  end
end

request = function()
  at = at % #rows + 1
  local row = rows[at]
  return wrk.format("GET", row[1], row[2])
end
