"""The Lua scripts of the log's ingest API. Redis runs each as one atomic step.

All scripts that write entries share two functions: `write` adds an entry to a lane's stream, and `add` stamps it first.
"""

from __future__ import annotations

_COMMON = """
local key, seen, chunks = KEYS[1], KEYS[2], KEYS[3]
local schema, lane_prefix, lease_ms, retention_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Numbers are formatted with %d, because Lua's default would turn large ones into 1.7e+12.
local function whole(number)
  return string.format('%d', number)
end

local function write(lane, n, event_id, kind, arrived_at, payload, ...)
  local known = redis.call('HMGET', key, 'team_id', 'meeting_id')
  return redis.call('XADD', lane_prefix .. lane, '*', 'schema', schema, 'team_id', known[1], 'meeting_id', known[2],
    'n', whole(n), 'event_id', event_id, 'kind', kind, 'arrived_at', whole(arrived_at), 'payload', payload, ...)
end

-- The ordinal of a chunk's first entry identifies its revisions, even after the operators have forgotten the chunk.
local function first(chunk_id, n)
  redis.call('HSETNX', chunks, chunk_id, whole(n))
  return redis.call('HGET', chunks, chunk_id)
end

local function add(event_id, kind, arrived_at, payload, chunk_id)
  local n = redis.call('HINCRBY', key, 'n', 1)
  local lane = redis.call('HGET', key, 'lane')
  local log_id
  if kind == 'chunk' then
    log_id = write(lane, n, event_id, kind, arrived_at, payload, 'first', first(chunk_id, n))
  else
    log_id = write(lane, n, event_id, kind, arrived_at, payload)
  end
  redis.call('HSET', key, 'last_at', whole(arrived_at))
  return n, log_id
end

-- `renames` are the payloads of the meeting's renames of speakers, separated by commas.
local function started(clock, generation, config, began_at, renames)
  local head = '{"kind":"started","clock":"' .. clock .. '","generation":' .. whole(generation)
  return head .. ',"began_at":' .. whole(began_at) .. ',"config":' .. config .. ',"renames":[' .. renames .. ']}'
end

-- The state of an ended meeting is retained for as long as its source may repeat its last events.
local ended_s = 3600

-- All keys expire a day after the last call that found the meeting open, so a meeting that is never ended leaves no data.
local function keep(seconds)
  if redis.call('HGET', key, 'clock') == 'recorded' then
    redis.call('HSET', key, 'lease_until', whole(now_ms() + lease_ms))
  end
  redis.call('EXPIRE', key, seconds)
  redis.call('EXPIRE', seen, seconds)
  redis.call('EXPIRE', chunks, seconds)
end
"""

# Further arguments: team_id, meeting_id, lane, clock, config, at ('' for Redis' time), n, generation,
# began_at ('' if it begins now), moves, renames.
OPEN = (
    _COMMON
    + """
local team_id, meeting_id, lane, clock, config = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local generation = tonumber(ARGV[12])
if redis.call('EXISTS', key) == 1 then
  local known = redis.call('HMGET', key, 'started_n', 'started_id')
  return {'repeated', tonumber(known[1]), known[2]}
end
local at = ARGV[10] ~= '' and tonumber(ARGV[10]) or now_ms()
local began_at = ARGV[13] ~= '' and tonumber(ARGV[13]) or at
redis.call('DEL', seen, chunks)
redis.call('HSET', key, 'team_id', team_id, 'meeting_id', meeting_id, 'lane', lane, 'clock', clock, 'status', 'open',
  'n', ARGV[11], 'moves', ARGV[14], 'generation', whole(generation), 'last_at', whole(at), 'config', config,
  'began_at', whole(began_at), 'renames', ARGV[15])
local payload = started(clock, generation, config, began_at, ARGV[15])
local n, log_id = add('started-' .. whole(generation), 'started', at, payload)
redis.call('HSET', key, 'started_n', whole(n), 'started_id', log_id)
keep(retention_s)
return {'accepted', n, log_id}
"""
)

# Further arguments: idle_ms, the caller's minimum of the last ordinal, then six for each event:
# event_id, kind, at ('' if the source gives none), payload, config ('' unless it changes), chunk_id ('' unless it is a chunk).
# Returns false for an unknown meeting, and the last ordinal if that is less than the minimum.
APPEND = (
    _COMMON
    + """
local idle_ms, least = tonumber(ARGV[5]), tonumber(ARGV[6])
local known = redis.call('HMGET', key, 'status', 'clock', 'n', 'generation', 'last_at', 'config', 'began_at', 'renames')
if not known[1] then
  return false
end
local status, clock, generation, last_at, config = known[1], known[2], tonumber(known[4]), tonumber(known[5]), known[6]
if tonumber(known[3]) < least then
  return tonumber(known[3])
end
local renames = known[8] or ''

local function refuse(reason)
  return {'refused', 0, '', reason}
end

local function take(event_id, kind, at, payload, changed, chunk_id)
  -- First of all: an event that was accepted once stays accepted, even if the meeting is over by now.
  local before = redis.call('HGET', seen, event_id)
  if before then
    return {'repeated', tonumber(before), '', ''}
  end
  if status == 'ended' or status == 'failed' then
    return refuse(status)
  end
  if status == 'paused' and kind == 'chunk' then
    return refuse('paused')
  end
  if clock == 'recorded' and at == '' then
    return refuse('no_time')
  end
  local arrived_at = math.max(clock == 'recorded' and tonumber(at) or now_ms(), last_at)
  if arrived_at - last_at >= idle_ms then
    generation = generation + 1
    redis.call('HSET', key, 'generation', whole(generation))
    local payload = started(clock, generation, config, tonumber(known[7]), renames)
    add('started-' .. whole(generation), 'started', arrived_at, payload)
  end
  local n, log_id = add(event_id, kind, arrived_at, payload, chunk_id)
  redis.call('HSET', seen, event_id, whole(n))
  last_at = arrived_at
  if changed ~= '' then
    config = changed
    redis.call('HSET', key, 'config', config)
  end
  if kind == 'speakers' then
    renames = renames == '' and payload or renames .. ',' .. payload
    redis.call('HSET', key, 'renames', renames)
  end
  if kind == 'ended' then
    status = 'ended'
    redis.call('HSET', key, 'status', status)
  end
  return {'accepted', n, log_id, ''}
end

local answers = {}
for i = 7, #ARGV, 6 do
  answers[#answers + 1] = take(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
end
if known[1] ~= 'ended' and known[1] ~= 'failed' then
  keep(status == 'ended' and ended_s or retention_s)
end
return answers
"""
)

# Further argument: the target lane. Returns false for an unknown meeting, `ended`, `there` if the meeting is on that lane
# already, or `moved`. A `moved` entry has no content: it has the ordinal and the arrival time of the entry before it.
MOVE = (
    _COMMON
    + """
local to = ARGV[5]
local known = redis.call('HMGET', key, 'status', 'lane', 'last_at', 'n')
if not known[1] then
  return false
end
if known[1] == 'ended' or known[1] == 'failed' then
  return 'ended'
end
if known[2] == to then
  return 'there'
end
local n, last_at = tonumber(known[4]), tonumber(known[3])
local move = redis.call('HINCRBY', key, 'moves', 1)
local event_id = 'moved-' .. whole(move)
local function moved(log_id)
  return cjson.encode({kind = 'moved', lane = to, move = move, log_id = log_id})
end
local arrival = write(to, n, event_id, 'moved', last_at, moved(''))
write(known[2], n, event_id, 'moved', last_at, moved(arrival))
redis.call('HSET', key, 'lane', to)
return 'moved'
"""
)

# Arguments: the old status, the new one. Returns the status before the call, or false for an unknown meeting.
SET_STATUS = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == ARGV[1] then
  redis.call('HSET', KEYS[1], 'status', ARGV[2])
end
return status
"""

# Arguments: the minimum ordinal, generation and moves, the lane after that number of moves, and the least renames of speakers.
# Returns the difference by which the ordinal was raised, or false for an unknown meeting.
RESEED = """
local n = redis.call('HGET', KEYS[1], 'n')
if not n then
  return false
end
if tonumber(redis.call('HGET', KEYS[1], 'generation') or '0') < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'generation', ARGV[2])
end
if tonumber(redis.call('HGET', KEYS[1], 'moves') or '0') < tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'moves', ARGV[3], 'lane', ARGV[4])
end
local function count(renames)
  return #cjson.decode('[' .. renames .. ']')
end
-- Renames are only added, so fewer are older ones.
if count(redis.call('HGET', KEYS[1], 'renames') or '') < count(ARGV[5]) then
  redis.call('HSET', KEYS[1], 'renames', ARGV[5])
end
local short = tonumber(ARGV[1]) - tonumber(n)
if short <= 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'n', ARGV[1])
return short
"""
