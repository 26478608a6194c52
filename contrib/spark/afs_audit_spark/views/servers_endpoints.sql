-- Servers and the endpoints that they need, over all sites: the worst state, and since when.
-- A server that several capture points or windows show counts once.
WITH attempts AS (
  SELECT site, server, array_join(references, '; ') AS endpoint, service, array_join(documented_as, '; ') AS documented_as, level,
         sum(reached) AS reached, sum(blocked) AS blocked, max(last_reached) AS last_reached, min(first_blocked) AS first_blocked,
         max(last_blocked) AS last_blocked, max_by(mechanism, last_blocked) AS mechanism, min(first_seen) AS first_seen,
         max(last_seen) AS last_seen
  FROM requirements
  GROUP BY site, server, references, service, documented_as, level
)
SELECT site, server, service, documented_as, level,
       CASE WHEN blocked > 0 AND reached = 0 THEN 'blocked' WHEN blocked > 0 THEN 'partly-blocked'
            WHEN reached > 0 THEN 'reached' ELSE 'not-observed' END AS state,
       mechanism,
       -- What was blocked before it was reached for the last time is a problem of the past.
       CASE WHEN blocked > 0 AND (last_reached IS NULL OR last_blocked > last_reached)
            THEN CASE WHEN last_reached IS NULL OR first_blocked > last_reached THEN first_blocked ELSE last_reached END
       END AS blocked_since,
       reached, blocked, last_reached, last_seen
FROM attempts
ORDER BY CASE state WHEN 'blocked' THEN 0 WHEN 'partly-blocked' THEN 1 WHEN 'not-observed' THEN 2 ELSE 3 END,
         CASE level WHEN 'required' THEN 0 WHEN 'install-time' THEN 1 WHEN 'recommended' THEN 2 ELSE 3 END,
         blocked DESC, site, server, service, documented_as
