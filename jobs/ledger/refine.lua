-- Applies a delivery receipt to the job that the MDR belongs to.
-- ARGV  1 MDR, 2 d (delivered) or n (not), 3 length of the event stream,
--       4 retention, 5 TTL of claims, 6 what it costs (nanodollars; 0: not known)
-- returns {id, state, 1 when it changed} | {none}
local held = cold_get('c', ARGV[1])
if not held then return {'none'} end
local bin = string.sub(held, 1, 16)
local job = load(text_id(bin), bin)
if not job or job.newer or bytes(tonumber(job.f.c), 6) ~= string.sub(held, 17, 22) then return {'none'} end
local s = job.f.s
local of = campaign(job)
if of and ARGV[6] ~= '0' and redis.call('SETBIT', P .. 'cp:' .. of.id .. ':m', row(job), 1) == 0 then
  redis.call('HINCRBY', P .. 'cp:' .. of.id .. ':n', 'us', ARGV[6])
  redis.call('HINCRBY', P .. 'cp:' .. of.id .. ':n', 'um', 1)
end
-- A job with an open attempt keeps its state: that attempt's outcome comes first.
-- Of several records one that was delivered counts.
if s == ARGV[2] or s == 'd' or s == 'q' or s == 's' or s == 'u' or s == 'o' or s == 'b' then return {job.id, s, 0} end
move(job, ARGV[2], REASON.receipt, ARGV[3], ARGV[1])
finish(job, ARGV[4])
return {job.id, ARGV[2], 1}
