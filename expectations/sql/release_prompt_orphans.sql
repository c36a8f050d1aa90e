-- Each prompt stands in prompts of its split and in annotations/prompts, from the same source.
SELECT coalesce(prompts.prompt, annotated_prompts.prompt) AS prompt
FROM prompts
FULL JOIN annotated_prompts
    ON
        prompts.prompt = annotated_prompts.prompt
        AND prompts.prompt_source = annotated_prompts.prompt_source
        AND parse_filename(prompts.filename, TRUE) = annotated_prompts.split
WHERE prompts.prompt IS NULL OR annotated_prompts.prompt IS NULL
