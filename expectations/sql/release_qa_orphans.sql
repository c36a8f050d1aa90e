-- Each answer in qa has its prompt in prompts, in the same split.
SELECT qa.sha256
FROM qa
LEFT JOIN prompts
    ON qa.prompt = prompts.prompt AND parse_filename(qa.filename) = parse_filename(prompts.filename)
WHERE prompts.prompt IS NULL
