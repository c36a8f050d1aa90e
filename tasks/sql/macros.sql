-- Macros that more than one query uses.

-- A text without characters that show nothing and do nothing: controls, marks of direction, soft hyphens, fillers and the
-- like. Tags stay in flags, variants after symbols and in scripts that have them, and joiners in emoji and in scripts whose
-- letters join.
CREATE OR REPLACE MACRO without_any_invisible(raw) AS
regexp_replace(
    regexp_replace(
        regexp_replace(
            regexp_replace(
                raw,
                '[\x01-\x08\x0E-\x1F\x7F-\x{84}\x{86}-\x{9F}\x{AD}\x{34F}\x{61C}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{200B}\x{200E}\x{200F}'
                || '\x{202A}-\x{202E}\x{2060}-\x{206F}\x{3164}\x{FEFF}\x{FFA0}\x{FFF0}-\x{FFFB}\x{1BCA0}-\x{1BCA3}\x{1D173}-\x{1D17A}]+',
                '', 'g'
            ),
            '(\x{1F3F4}[\x{E0020}-\x{E007F}]+)|[\x{E0000}-\x{E00FF}\x{E01F0}-\x{E0FFF}]', '\1', 'g'
        ),
        '(^|[\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Georgian}\p{Hebrew}\p{Ethiopic}\p{Thai}\p{Lao}\p{Hangul}\x{300}-\x{36F}'
        || '\p{Z}\s!-"$-)+-/:-@[-`{-~])[\x{180E}\x{200C}\x{200D}\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]+',
        '\1', 'g'
    ),
    '([\p{Han}\p{Hiragana}\p{Katakana}\p{P}][\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]?)[\x{180E}\x{200C}\x{200D}]+', '\1', 'g'
);

-- The same, quicker for text that holds none of them.
CREATE OR REPLACE MACRO without_invisible(raw) AS
if(
    regexp_matches(
        raw,
        '[\x01-\x08\x0E-\x1F\x7F-\x{84}\x{86}-\x{9F}\x{AD}\x{34F}\x{61C}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180E}\x{200B}-\x{200F}'
        || '\x{202A}-\x{202E}\x{2060}-\x{206F}\x{3164}\x{FE00}-\x{FE0F}\x{FEFF}\x{FFA0}\x{FFF0}-\x{FFFB}\x{1BCA0}-\x{1BCA3}'
        || '\x{1D173}-\x{1D17A}\x{E0000}-\x{E0FFF}]'
    ),
    without_any_invisible(raw),
    raw
);

-- Unicode in NFC, plain line ends and blanks, no invisible characters, no blanks at line ends or doubled inside a line,
-- at most one empty line. Indentation stays.
CREATE OR REPLACE MACRO normalise_any_text(raw) AS
trim(
    regexp_replace(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(
                        nfc_normalize(without_invisible(raw)),
                        '\r\n?|\x{85}|\x{2028}|\x{2029}', chr(10), 'g'
                    ),
                    '\p{Zs}', ' ', 'g'
                ),
                '(\S)[ \t\f\v]+', '\1 ', 'g'
            ),
            '[ \t\f\v]+(\n|$)', '\1', 'g'
        ),
        '\n{3,}', chr(10) || chr(10), 'g'
    ),
    ' ' || chr(9) || chr(10)
);

-- The same, ten times as fast for text that needs no more than a trim. A text with a NUL, where nfc_normalize would cut it off,
-- stays as it is.
CREATE OR REPLACE MACRO normalise_text(raw) AS
if(
    regexp_matches(raw, '[^\x20-\x7E\n]|  | \n|\n\n\n'),
    if(contains(raw, chr(0)), raw, normalise_any_text(raw)),
    trim(raw, ' ' || chr(10))
);

-- How an answer ended, in the letters of whatever word an endpoint has for it.
CREATE OR REPLACE MACRO ending(finish_reason) AS
regexp_replace(lower(split_part(coalesce(finish_reason, ''), ':', 1)), '[^a-z0-9]', '', 'g');

-- Whether an answer ended because it was long enough: OpenAI, Anthropic, Gemini, Mistral and Cohere have words of their own.
CREATE OR REPLACE MACRO is_cut(finish_reason) AS
regexp_matches(ending(finish_reason), 'length|context|maxlen|max[a-z]*(token|output)|(token|error)limit|truncat|incomplete');

-- Whether a filter ended an answer, as the words of OpenAI, Bedrock, Gemini, Vertex, Zhipu, Anthropic and Cohere say.
CREATE OR REPLACE MACRO is_filtered(finish_reason) AS
regexp_matches(
    ending(finish_reason),
    'filter|guardrail|safety|prohibited|bl[ao]ck|recitation|spii|sensitive|refus|toxic|armor|moderat|jailbreak|policy|language$'
);

-- A text with a letter in the place of each block of code that is closed and not empty: what stands there may be all signs.
CREATE OR REPLACE MACRO without_code(text) AS
if(
    contains(text, '```') OR contains(text, '~~~'),
    regexp_replace(
        text, '(?s)(?:^|\n)[ \t>*+-]*(?:```[^`\n]*\n\s*[^\s`].*?\n[ \t>]*```|~~~[^~\n]*\n\s*[^\s~].*?\n[ \t>]*~~~)', chr(10) || 'x', 'g'
    ),
    text
);

-- Whether a text has five strokes in a row that are no letters, digits or symbols, or none of these at all.
CREATE OR REPLACE MACRO may_be_garbled(text) AS
regexp_matches(text, '(?:[^\p{L}\p{M}\p{N}\p{So}\x{A2}-\x{A5}\x{20A0}-\x{20CF}\x{2190}-\x{22FF}\s]\s*){5}')
OR NOT regexp_matches(text, '[\p{L}\p{N}\p{So}\x{A2}-\x{A5}\x{20A0}-\x{20CF}\x{2190}-\x{22FF}]');

-- The share of letters, digits and symbols such as emoji in what a text shows, without rules and other repeated strokes.
CREATE OR REPLACE MACRO readable(text) AS
length(regexp_replace(text, '[^\p{L}\p{M}\p{N}\p{So}\x{A2}-\x{A5}\x{20A0}-\x{20CF}\x{2190}-\x{22FF}]+', '', 'g'))
/ greatest(length(regexp_replace(text, '\s+|-{3,}|={3,}|_{3,}|\*{3,}|\.{3,}|#{3,}|:?-+:?\|', '', 'g')), 1);

-- A text without its code and without what stands in quotes.
CREATE OR REPLACE MACRO without_quotes(text) AS
regexp_replace(
    text,
    '(?s)```.*?(?:```|$)|`[^`\n]*`|["“„«‘「『][^"”“»’」』\n]*["”“»’」』]|(?:^|[\s(])''[^''\n]{1,40}''', ' ', 'g'
);

-- Whether U+FFFD stands in a text for what was lost between bytes and text, beside a letter or another one. A text speaks of it that
-- quotes it, names it or its cause, or has it stand alone; but not with six in a row.
CREATE OR REPLACE MACRO lost_characters(text) AS
regexp_matches(text, '\x{FFFD}{6}')
OR regexp_matches(
    if(regexp_matches(without_quotes(text), '\p{L}'), without_quotes(text), text),
    '[\p{L}\p{M}\p{N}]\x{FFFD}|\x{FFFD}(?:[\p{L}\p{M}\p{N}]|\s*\x{FFFD})'
)
AND NOT regexp_matches(
    text, '(?i)FFFD|Unicode|UTF-?(?:8|16)|encod|decod|kodier|codif|кодиров|mojibake|replacement char|编码|乱码|文字化け'
);

-- Whether 16 characters from a place in a text stand in it again further on.
CREATE OR REPLACE MACRO comes_again(text, place) AS
contains(substr(text, place + 1), substr(text, place, 16));

-- A number in [0, 2^31) that depends on the text alone.
CREATE OR REPLACE MACRO hashed_integer(raw) AS
CAST('0x' || left(sha256(raw), 8) AS bigint) & 2147483647;

-- The 19 categories of PKU-SafeRLHF as one struct, from the names of those that hold.
CREATE OR REPLACE MACRO harm_category(names) AS {
    'Endangering National Security': list_contains(names, 'Endangering National Security'),
    'Insulting Behavior': list_contains(names, 'Insulting Behavior'),
    'Discriminatory Behavior': list_contains(names, 'Discriminatory Behavior'),
    'Endangering Public Health': list_contains(names, 'Endangering Public Health'),
    'Copyright Issues': list_contains(names, 'Copyright Issues'),
    'Violence': list_contains(names, 'Violence'),
    'Drugs': list_contains(names, 'Drugs'),
    'Privacy Violation': list_contains(names, 'Privacy Violation'),
    'Economic Crime': list_contains(names, 'Economic Crime'),
    'Mental Manipulation': list_contains(names, 'Mental Manipulation'),
    'Human Trafficking': list_contains(names, 'Human Trafficking'),
    'Physical Harm': list_contains(names, 'Physical Harm'),
    'Sexual Content': list_contains(names, 'Sexual Content'),
    'Cybercrime': list_contains(names, 'Cybercrime'),
    'Disrupting Public Order': list_contains(names, 'Disrupting Public Order'),
    'Environmental Damage': list_contains(names, 'Environmental Damage'),
    'Psychological Harm': list_contains(names, 'Psychological Harm'),
    'White-Collar Crime': list_contains(names, 'White-Collar Crime'),
    'Animal Abuse': list_contains(names, 'Animal Abuse')
};

-- What all requests of one kind have in common, hashed once and not for each of them: it can be pages long. An empty
-- system text was once no turn: what was answered then is not found.
CREATE OR REPLACE MACRO frame_id(system, json_schema) AS
sha256(
    CAST(
        to_json({
            'template': if(system = '', 'empty turn', 'chat'), 'system': system, 'json_schema': json_schema
        }) AS varchar
    )
);

-- A message as JSON, or the two texts of a conversation where a classifier reads the answer after its prompt.
CREATE OR REPLACE MACRO conversation(prompt, answer) AS
if(answer IS NULL, to_json(prompt), to_json([prompt, answer]));

-- What identifies an answer: a hash is of one length, so that no other prompt and answer are joined to the same text.
CREATE OR REPLACE MACRO response_id(prompt, response) AS
sha256(sha256(prompt) || response);

-- What identifies a pair: the first of its two answers is the one whose identifier comes first.
CREATE OR REPLACE MACRO pair_id(responder, response_0_id, response_1_id) AS
sha256(concat_ws(' ', responder, response_0_id, response_1_id));

-- PKU-SafeRLHF's digest of an answer, as it is published: two answers may share it.
CREATE OR REPLACE MACRO published_digest(prompt, response) AS
sha256(prompt || response);

-- A line of backticks, longer than any run of them in a text, so that no text can hold it.
CREATE OR REPLACE MACRO fence(raw) AS
repeat(
    '`',
    if(
        contains(raw, '```'),
        1 + list_max(list_transform(regexp_extract_all(raw, '`{3,}'), LAMBDA ticks: length(ticks))),
        3
    )
);

-- What begins thinking: tags of that name, of Mistral, Kimi, ByteDance, Cohere and MedGemma too, the channels of gpt-oss and Gemma, of
-- which some servers leave only the names. A tag such as <reason> may be an answer's own.
CREATE OR REPLACE MACRO thinking_begins() AS
'(?:[<◁](?:\w+[:_]|ant)?(?:think(?:ing)?|thoughts?|reasoning|scratchpad)[>▷]|<unused94>\s*thought|\[think\]'
|| '|(?-i:\[(?:THINKING|THOUGHT|REASONING)\])'
|| '|<\|(?:start_|begin_)?(?:of_)?(?:think(?:ing)?|thoughts?|reasoning|scratchpad)(?:_start|_begin)?\|>'
|| '|(?:<\|start\|>assistant)?<\|channel\|?>\s*(?:analysis|commentary|thought)'
|| '|(?-i:^analysis(?:We|The|They|User|I|Need|Let) [a-z]))';

CREATE OR REPLACE MACRO thinking_ends() AS
'(?:[<◁]/(?:\w+[:_]|ant)?(?:think(?:ing)?|thoughts?|reasoning|scratchpad)[>▷]|<unused95>|\[/(?:think(?:ing)?|thought|reasoning)\]'
|| '|<\|(?:/|end_)(?:of_)?(?:think(?:ing)?|thoughts?|reasoning|scratchpad)\|>(?:<\|start_response\|>)?'
|| '|<\|(?:think(?:ing)?|thoughts?|reasoning|scratchpad)_end\|>'
|| '|<\|channel\|>\s*final\s*(?:<\|message\|>)?|<channel\|>|(?-i:assistantfinal))';

CREATE OR REPLACE MACRO thinks(raw) AS
regexp_matches(raw, '(?i)' || thinking_begins() || '|' || thinking_ends());

-- What begins a judge's thinking: words in brackets that begin an answer's own text, too.
CREATE OR REPLACE MACRO judging_begins() AS
'(?:' || thinking_begins() || '|\[(?:thinking|thought|reasoning)\])';

-- What a judge says beside its thinking, wherever that stands, and without a byte order mark. Thinking may lack its start, which some
-- templates give, or its end, which then says nothing.
CREATE OR REPLACE MACRO spoken(raw) AS
ltrim(
    if(
        regexp_matches(raw, '(?i)' || judging_begins() || '|' || thinking_ends()),
        regexp_replace(
            regexp_replace(
                regexp_replace(raw, '(?is)' || judging_begins() || '.*?' || thinking_ends(), '', 'g'),
                '(?is)^.*' || thinking_ends(), ''
            ),
            '(?is)' || judging_begins() || '.*$', ''
        ),
        raw
    ),
    chr(65279) || ' ' || chr(9) || chr(10) || chr(13)
);

-- Whether a text begins with thinking. One that speaks of such a mark goes on in its sentence: `<think> is a tag`, `<think>, ...`.
CREATE OR REPLACE MACRO begins_thinking(text) AS
regexp_matches(text, '(?i)^' || thinking_begins() || '(?:$|[^\p{P} ]|[*"“(\[#]| (?-i:\p{Lu}))');

-- Whether a text thinks in the words of Granite and does not come to the words with which it ends that: told only of what was cut off,
-- since an answer may begin so.
CREATE OR REPLACE MACRO thinks_in_words(text) AS
regexp_matches(text, '^Here(?: is|[''’]s) my thought process:|^Here are my reasoning steps:')
AND NOT regexp_matches(text, 'Here(?: is|[''’]s) my response:');

-- Whether a text ends thinking, after a sentence or on a line of its own, that it did not begin.
CREATE OR REPLACE MACRO ends_thinking_alone(text) AS
regexp_matches(
    regexp_extract(text, '(?is)^.*?(?:' || thinking_begins() || '|' || thinking_ends() || ')'),
    '(?is)(?:^|[\n.!?…。！？])\s*' || thinking_ends() || '$'
);

-- What a text says after thinking: all that it begins with, or what it only ends.
CREATE OR REPLACE MACRO after_thinking(text, is_begun) AS
ltrim(
    if(
        is_begun,
        regexp_replace(text, '(?is)^.*?' || thinking_ends(), ''),
        regexp_replace(text, '(?is)^(?:\s*' || thinking_begins() || '.*?' || thinking_ends() || ')+', '')
    ),
    ' ' || chr(10)
);

-- What identifies a request: everything that the engine's answer depends on.
CREATE OR REPLACE MACRO request_id(model, frame_id, prompt, temperature, top_p, max_tokens, seed) AS
sha256(
    CAST(
        to_json({
            'model': model, 'frame': frame_id, 'user': prompt, 'temperature': temperature,
            'top_p': top_p, 'max_tokens': max_tokens, 'seed': seed
        }) AS varchar
    )
);

-- What a completion says, as a hash: how long it took is no part of that.
CREATE OR REPLACE MACRO completion_hash(completion, finish_reason, input_tokens, output_tokens, error, confidence) AS
hash(completion, finish_reason, input_tokens, output_tokens, error, confidence);

-- Whether an error says that a request is longer than the model (`tasks.engines.chat.TOO_LONG`).
CREATE OR REPLACE MACRO is_too_long(error) AS
coalesce(starts_with(error, 'longer than the model'), FALSE);

-- Whether a completion is the one that is taken of several of its request, whatever their order: one without an error before any
-- error, one that is too long before other errors, and of those that count alike the first by text, then by hash.
CREATE OR REPLACE MACRO is_taken(request_id, completion, finish_reason, input_tokens, output_tokens, error, confidence) AS
row_number() OVER (
    PARTITION BY request_id
    ORDER BY
        error IS NOT NULL,
        NOT is_too_long(error),
        completion,
        completion_hash(completion, finish_reason, input_tokens, output_tokens, error, confidence)
) = 1;

-- Whether a row of the store leaves nothing to ask: it is an answer, or its request was counted and is still longer than the
-- model. One without `positions` has as many as it had.
CREATE OR REPLACE MACRO is_settled(error, input_tokens, max_tokens, positions) AS
error IS NULL
OR coalesce(starts_with(error, 'longer than the model: ') AND input_tokens + max_tokens > coalesce(positions, 0), FALSE);

-- The order in which answers are drawn for the audit.
CREATE OR REPLACE MACRO audit_draw(draw_seed, answer) AS
sha256(concat_ws(' ', 'audit', draw_seed, answer));
