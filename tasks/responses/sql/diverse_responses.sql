-- One row per request. Of the good answers of a prompt and responder the first sample is kept,
-- and the alternatives that are least similar to it; the others get a reason.
WITH screened AS (
    SELECT * FROM screened
),

embeddings AS (
    SELECT
        response_id,
        min(embedding) AS embedding,
        bool_or(is_cut) AS is_cut
    FROM embeddings
    GROUP BY response_id
),

good AS (
    SELECT
        screened.request_id,
        screened.prompt_id,
        screened.responder,
        screened.sample,
        embeddings.embedding,
        embeddings.is_cut,
        first_value(screened.sample) OVER samples AS first_sample,
        first_value(embeddings.embedding) OVER samples AS first_embedding
    FROM screened
    INNER JOIN embeddings USING (response_id)
    WHERE screened.reason IS NULL
    WINDOW samples AS (PARTITION BY screened.prompt_id, screened.responder ORDER BY screened.sample)
),

compared AS (
    SELECT
        request_id,
        prompt_id,
        responder,
        sample,
        list_cosine_similarity(embedding, first_embedding) AS similarity
    FROM good
    WHERE sample > first_sample
),

ranked AS (
    SELECT
        request_id,
        similarity,
        row_number() OVER (PARTITION BY prompt_id, responder ORDER BY similarity, sample) AS similarity_rank
    FROM compared
)

SELECT
    screened.* REPLACE (
        CAST(ranked.similarity AS DOUBLE) AS similarity,
        good.is_cut AS embedded_in_part,
        if(ranked.similarity_rank > $alternatives, 'less diverse', screened.reason) AS reason,
        if(
            ranked.similarity_rank > $alternatives,
            'similarity ' || round(ranked.similarity, 3) || ', rank ' || ranked.similarity_rank,
            screened.evidence
        ) AS evidence
    )
FROM screened
LEFT JOIN good USING (request_id)
LEFT JOIN ranked USING (request_id)
ORDER BY screened.prompt_id, screened.responder, screened.sample
