-- Reads whose an MDR is.
-- ARGV  1 MDR
-- returns {id and more, or ''}
return {cold_get('c', ARGV[1]) or ''}
