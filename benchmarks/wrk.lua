-- A feed for a worker picked by chance in every request. WORKERS, SEED: variables of the environment; BODY: the body
-- with %d in place of the worker's number; PATHNAME: where it is posted to.
local workers, body = tonumber(os.getenv("WORKERS")), os.getenv("BODY")
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  math.randomseed(tonumber(os.getenv("SEED")) + 7919 * number)
end

function request()
  local filled = string.format(body, math.random(0, workers - 1))
  return wrk.format("POST", os.getenv("PATHNAME"), { ["Content-Type"] = "application/json" }, filled)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "failed": %d, "p50": %.3f, "p99": %.3f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
