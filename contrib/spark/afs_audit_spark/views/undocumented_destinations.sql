-- Destinations that no document lists, by the number of sites that contact them.
SELECT coalesce(name, server_ip) AS destination, server_port, transport, destination_verdict AS verdict,
       count(DISTINCT site) AS sites, count(DISTINCT site, client_ip) AS servers, count(*) AS flows,
       sum(bytes_to_server + bytes_to_client) AS bytes, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
       array_join(slice(sort_array(collect_set(site)), 1, 5), ', ') AS first_sites
FROM flows
WHERE destination_verdict IN ('unexpected', 'unidentified')
GROUP BY coalesce(name, server_ip), server_port, transport, destination_verdict
ORDER BY sites DESC, servers DESC, flows DESC, destination, server_port
