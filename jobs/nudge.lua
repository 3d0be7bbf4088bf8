-- Puts tasks of one queue into it, as asynq's own script does for one. A task that is there
-- already is left alone.
-- KEYS  1 the queue's list of what waits
-- ARGV  1 what the key of a task begins with, 2 what a task's id has after its job's,
--       3 to 5 the message of a task, cut where the job's id belongs, 6 now (ns), 7 the jobs'
--       ids, of 36 characters each
-- returns how many were put in
local head, tail, first, second, third, now, jobs = unpack(ARGV)
local tasks, keys = {}, {}
for at = 1, #jobs, 36 do
  local task = string.sub(jobs, at, at + 35) .. tail
  tasks[#tasks + 1] = task
  keys[#keys + 1] = head .. task
end
local empty, fresh = redis.call('EXISTS', unpack(keys)) == 0, {}
for i, key in ipairs(keys) do
  if empty or redis.call('EXISTS', key) == 0 then
    local job = string.sub(tasks[i], 1, 36)
    -- One that comes twice in this call is new once.
    if redis.call('HSET', key, 'msg', first .. job .. second .. job .. third, 'state', 'pending', 'pending_since', now) == 3 then
      fresh[#fresh + 1] = tasks[i]
    end
  end
end
if #fresh > 0 then redis.call('LPUSH', KEYS[1], unpack(fresh)) end
return #fresh
