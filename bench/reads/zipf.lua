-- Asks for products as shoppers do: the n-th most popular one 1/n as often as the first. Arguments: a file with an id a line, the seed.
local ids, reached = {}, {}
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  for line in io.lines(args[1]) do ids[#ids + 1] = line end
  local sum = 0
  for n = 1, #ids do
    sum = sum + 1 / n
    reached[n] = sum
  end
  math.randomseed(tonumber(args[2]) * 1000 + number)
end

function request()
  local at = math.random() * reached[#reached]
  local low, high = 1, #reached
  while low < high do
    local middle = math.floor((low + high) / 2)
    if reached[middle] < at then low = middle + 1 else high = middle end
  end
  return wrk.format("GET", "/api/v1/products/" .. ids[low])
end
