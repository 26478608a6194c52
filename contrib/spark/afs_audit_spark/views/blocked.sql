-- What was blocked, by mechanism, and by the proxy, firewall or resolver that did it where the packets name one.
SELECT mechanism, confidence,
       CASE WHEN mechanism LIKE 'proxy-%' THEN concat_ws(' ', concat('proxy ', server_ip, ':', server_port), http_server)
            WHEN http_server IS NOT NULL THEN http_server
            WHEN http_location IS NOT NULL THEN http_location
            WHEN mechanism LIKE 'tls-%' THEN certificate_issuer
       END AS blocked_by,
       count(DISTINCT site) AS sites, count(DISTINCT site, client_ip) AS servers, count(*) AS flows,
       count(DISTINCT coalesce(name, server_ip)) AS destinations, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
       array_join(slice(sort_array(collect_set(coalesce(name, server_ip))), 1, 5), ', ') AS first_destinations
FROM flows
WHERE outcome = 'blocked-looking'
GROUP BY 1, 2, 3
UNION ALL
SELECT mechanism, confidence, NULL, count(DISTINCT site), count(DISTINCT site, audited_host), sum(count),
       count(DISTINCT target), min(first_seen), max(last_seen),
       array_join(slice(sort_array(collect_set(target)), 1, 5), ', ')
FROM findings
WHERE mechanism LIKE 'dns-%' OR mechanism IN ('resolved-never-connected', 'pki-blocked')
GROUP BY mechanism, confidence
ORDER BY sites DESC, servers DESC, flows DESC, mechanism, confidence, blocked_by
