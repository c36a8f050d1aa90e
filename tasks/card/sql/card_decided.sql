-- One row per kind of decision: how many were made by people and how many by models.
SELECT
    'labels of answers' AS decided,
    count(*) FILTER (WHERE by_people) AS by_people,
    count(*) FILTER (WHERE NOT by_people) AS by_models,
    avg(CAST(by_people AS INTEGER)) AS share_of_people
FROM labels
UNION ALL
SELECT
    'preferences of pairs',
    count(*) FILTER (WHERE by_people),
    count(*) FILTER (WHERE NOT by_people),
    avg(CAST(by_people AS INTEGER))
FROM preferences
