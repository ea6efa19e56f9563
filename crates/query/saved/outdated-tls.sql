-- title: Outdated TLS
-- answers: Who still connects with TLS 1.0 or 1.1?
-- technique: T1040
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT account, tlsdetails.tlsversion AS tls, eventsource, useragent, count(*) AS calls,
  max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND tlsdetails.tlsversion IN ('SSLv3', 'TLSv1', 'TLSv1.0', 'TLSv1.1')
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC
