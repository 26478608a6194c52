-- Sites and capture points whose captures are missing, incomplete, lossy, or older than a week, as compared with the newest of all.
WITH newest AS (SELECT max(last_seen) AS time FROM runs),
points AS (
  SELECT site, point, max(last_seen) AS last_seen, sum(frames_in_window) AS frames, sum(reported_drops) AS drops,
         sum(frames_not_decoded) AS not_decoded, sum(flows_cut) AS flows_cut,
         count_if(status = 'failed') AS failed, count_if(status = 'incomplete') AS incomplete,
         count_if(cardinality(limits_reached) > 0) AS limited,
         array_join(slice(array_distinct(flatten(collect_list(messages))), 1, 3), '; ') AS messages
  FROM runs GROUP BY site, point
)
SELECT site, point, concat_ws(', ',
         CASE WHEN failed > 0 THEN concat(failed, ' failed') END,
         CASE WHEN incomplete > 0 THEN concat(incomplete, ' incomplete') END,
         CASE WHEN frames = 0 THEN 'no frames' END,
         CASE WHEN drops > frames / 1000 THEN 'dropped packets' END,
         CASE WHEN not_decoded > frames / 100 THEN 'frames that could not be decoded' END,
         CASE WHEN limited > 0 THEN 'limits reached' END,
         CASE WHEN last_seen < newest.time - INTERVAL 7 DAYS THEN 'old' END) AS doubts,
       last_seen, frames, drops, not_decoded, flows_cut, messages
FROM points CROSS JOIN newest
WHERE failed > 0 OR incomplete > 0 OR frames = 0 OR drops > frames / 1000 OR not_decoded > frames / 100 OR limited > 0
   OR last_seen < newest.time - INTERVAL 7 DAYS OR last_seen IS NULL
ORDER BY failed DESC, incomplete DESC, site, point
