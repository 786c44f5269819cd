local one

init = function()
  one = wrk.format("GET", "/p/1")
end

request = function()
  return one
end
