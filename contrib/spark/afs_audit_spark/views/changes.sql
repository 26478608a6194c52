-- What changed from the last audited day of each capture point to the day before it in the lake: endpoints, and findings.
-- What was blocked and was not tried again is not in it.
WITH days AS (
  SELECT site, point, day, dense_rank() OVER (PARTITION BY site, point ORDER BY day DESC) AS age
  FROM (SELECT DISTINCT site, point, day FROM runs WHERE status != 'failed')
),
states AS (
  SELECT r.site, r.server, array_join(r.documented_as, '; ') AS endpoint, d.age,
         CASE WHEN sum(r.blocked) > 0 AND sum(r.reached) = 0 THEN 'blocked' WHEN sum(r.blocked) > 0 THEN 'partly-blocked'
              WHEN sum(r.reached) > 0 THEN 'reached' ELSE 'not-observed' END AS state
  FROM requirements r JOIN days d USING (site, point, day) WHERE d.age <= 2
  GROUP BY r.site, r.server, r.references, r.documented_as, d.age
),
found AS (
  SELECT f.site, f.audited_host AS server, concat_ws(' ', f.code, f.title, f.target) AS endpoint, min(d.age) AS latest, max(d.age) AS earliest
  FROM findings f JOIN days d USING (site, point, day) WHERE d.age <= 2
  GROUP BY f.site, f.audited_host, f.code, f.title, f.target
),
compared AS (SELECT DISTINCT site FROM days WHERE age = 2)
SELECT now.site, now.server, now.endpoint, before.state AS before, now.state AS now
FROM states now JOIN states before ON now.site = before.site AND now.server <=> before.server AND now.endpoint = before.endpoint
WHERE now.age = 1 AND before.age = 2 AND now.state != before.state AND now.state != 'not-observed'
UNION ALL
SELECT site, server, endpoint, IF(earliest = 1, 'no finding', 'finding'), IF(latest = 1, 'finding', 'no finding')
FROM found JOIN compared USING (site)
WHERE latest = earliest
ORDER BY site, server, endpoint
