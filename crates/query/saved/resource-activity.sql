-- title: Activity on a resource
-- answers: Who touched one resource, and how?
-- parameter: resource text required | its ARN, id or name, or a part of it
-- parameter: since time = 30d | events since then
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND (strpos(requestparameters, $resource) > 0
    OR strpos(responseelements, $resource) > 0
    OR array_any_match(resources, r -> strpos(r['arn'], $resource) > 0))
ORDER BY eventtime DESC
