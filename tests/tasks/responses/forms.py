"""Answers of many forms, good ones and bad ones, and how many of them the filter takes for the other kind.

Run as `python -m tests.tasks.responses.forms`: prints each mistake, and the false drops and misses.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tasks.tables import COMPLETIONS, REQUESTS, RESPONSES, screened
from tests.tasks.rows import make, select

SONG = """The boat goes out, the boat comes in,
the harbour lights are burning,
and all the town is at the quay
to see the boats returning.

The nets are full, the nets are wet,
the gulls above are turning,
and all the town is at the quay
to see the boats returning.

The night is long, the night is cold,
the tide below is churning,
and all the town is at the quay
to see the boats returning.
"""
GOOD = {
    "prose": "Plant the bulbs in autumn, twice as deep as they are tall, and water them once.",
    "one word": "Ja.",
    "one letter": "A.",
    "one number": "42",
    "a number with signs": "-3.5",
    "an emoji": "👍",
    "emoji alone": "👍🎉😀",
    "a heart": "❤️",
    "a formula": "x² + y² = (x + iy)(x - iy)",
    "LaTeX": r"$$\int_0^1 \frac{x^2}{1+x}\,dx = \ln 2 - \frac{1}{2}$$",
    "compact JSON": '{"a":1,"b":[2,3],"c":{"d":null}}',
    "deep JSON": '{"a":{"b":{"c":{"d":[[[]]]}}}}',
    "JSON of lists": "[[1,2],[3,4],[5,6],[[7,8],[9,[]]]]",
    "JSON of many rows": str([{"id": n, "name": f"plant {n * 7}", "wet": n % 2} for n in range(40)]).replace("'", '"'),
    "a Markdown table": "| a | b |\n|---|---|\n| 1 | 2 |",
    "a wide Markdown table": "| Name       | Quantity   |\n|:-----------|-----------:|\n| eggs       |          3 |",
    "a long Markdown table": "| n | square |\n|---|---|\n" + "\n".join(f"| {n} | {n * n} |" for n in range(60)),
    "C": "for(i=0;i<n;i++){a[i]=b[i]+(c[i]&&!d[i])?*p++:-1;}",
    "a shell command": "ls -l | grep '*.py' > x && rm -- \"$x\" || :",
    "HTML": "<ul><li><b>a</b></li><li><i>b</i></li></ul>",
    "a long HTML table": "<table>" + "".join(f"<tr><td>tulip {n}</td><td>{n * 3}</td></tr>" for n in range(60)),
    "Python": "def f(x):\n    return [y ** 2 for y in x if y % 2 == 0]\n",
    "a regular expression": r"^(?:\d{1,3}\.){3}\d{1,3}$",
    "Brainfuck": "```\n++++++++[>++++[>++>+++>+++>+<<<<-]>+>+>->>+[<]<-]>>.>---.+++++++..+++.\n```",
    "a regular expression alone": "~~~regex\n^(?:[^\\s@<>()\\[\\]]+)@(?:[^\\s@.]+\\.)+$|^\\*{2,}(?=[!?])\n~~~",
    "code with rules around it": "> > > > > > >\n\n```python\nfor bulb in bulbs:\n    plant(bulb)\n```\n\n%%%%%%%%%%",
    "code in a list": "- ```\n  ++++[>++++<-]>[.-]<<<\n  ```\n- ```\n  --[>+<---]>-.\n  ```",
    "an ASCII drawing": "It looks so:\n\n```\n  /\\_/\\\n ( o.o )\n  > ^ <\n /|___|\\\n```",
    "a list of numbers": "\n".join(str(number) for number in range(1, 101)),
    "numbers with commas": ",".join(str(number) for number in range(1, 201)),
    "bytes in binary": " ".join(f"{letter:08b}" for letter in b"Plant the bulbs in autumn."),
    "a poem with a refrain": SONG,
    "a numbered list": "\n".join(f"{n}. Water bed number {n}." for n in range(1, 25)),
    "bullet points": "\n".join(
        f"- **{word}**: once a week" for word in ["rose", "tulip", "lily", "iris", "daisy", "fern", "moss"]
    ),
    "a dialogue": "\n".join(f'"{n} eggs?" - "No, {n + 1}!" - "Why?"' for n in range(0, 30, 3)),
    "a rule and a word": "---\n\nDone.\n\n---",
    "Chinese": "番茄需要充足的阳光和水分。每周浇水两次，注意不要让土壤太湿。夏天要遮阴，冬天要保温。",
    "Chinese, long": "".join(f"第{n}天，给第{n * 3}株番茄浇水，记下它的高度。" for n in range(1, 30)),
    "Japanese": "トマトには日当たりと水が必要です。週に二回、土が乾いたら水をやってください。",
    "Thai": "มะเขือเทศต้องการแสงแดดและน้ำ รดน้ำสัปดาห์ละสองครั้ง และอย่าให้ดินแฉะเกินไป",
    "Hindi": "टमाटर को धूप और पानी चाहिए। सप्ताह में दो बार पानी दें और मिट्टी को ज़्यादा गीला न होने दें।",
    "Persian": "گوجه‌فرنگی به آفتاب و آب نیاز دارد. هفته‌ای دو بار آبیاری کنید.",
    "an empty list": "[]",
    "a tree of files": "garden\n├── beds\n│   ├── roses.txt\n│   └── lilies.txt\n└── README",
    "Morse code": "... --- ... / .-- .- - . .-.",
    "SQL": "".join(f"INSERT INTO beds (id, name) VALUES ({n}, 'bed {n}');\n" for n in range(40)),
    "a difference": "@@ -1,2 +1,2 @@\n-a = 1;\n+a = 2;\n",
    "laughter": "Haha, ha ha ha! That is a good one.",
    "the sign of a lost character": "The sign � stands where a character was lost.",
    "that sign in quotes": "Your editor shows “gr�n” or '���' in place of 'grün'.",
    "that sign in code": "Count them:\n```python\nlost = text.count('�') + text.count('���')\n```",
    "that sign with its cause": "If you see caf� or ��� in a file, it is Latin-1 that was read as UTF-8.",
    "that sign by its name": "U+FFFD�",
    "that sign alone in quotes": '"�"',
    "that sign in JSON": '{"a":"�"}',
    "that sign in Chinese": "如果你看到 ��� 这样的乱码，请换编码。",
    "a long essay": " ".join(
        f"In garden {n} the {n * 13 % 97} bulbs of the {n * 7 % 53} beds grow well." for n in range(400)
    ),
}
BAD = {
    "broken characters": ("\ufffd\ufffd plant", "garbled"),
    "umlauts that were lost": ("Pflanze die Zwiebeln im Fr\ufffdhling, w\ufffdssere sie t\ufffdglich.", "garbled"),
    "quotes that were lost": ("The bulbs don\ufffdt need \ufffdmuch\ufffd water.", "garbled"),
    "an emoji that was lost": ("Water them well \ufffd\ufffd and wait.", "garbled"),
    "lost in all that is said": ('"W\ufffdssere die Zwiebeln."', "garbled"),
    "an alphabet that was lost": ("\ufffd\ufffd\ufffd \ufffd\ufffd\ufffd\ufffd: UTF-8 " + "\ufffd" * 20, "garbled"),
    "one sign of loss after another": ("\ufffd \ufffd \ufffd \ufffd", "garbled"),
    "an empty block": ("```\n```", "garbled"),
    "noise after a block in one line": ("```x```\n" + "&%$#@" * 60 + "\n```", "garbled"),
    "signs": ("#$%&/()=?*+~<>|{}[]^", "garbled"),
    "signs with a letter": ("a#$%&/()=?*+~<>|{}[]^#$%&/()=?*", "garbled"),
    "signs and blanks": ("# $ % & / ( ) = ? * + ~ < > | x { } [ ]", "garbled"),
    "marks alone": ("?!", "garbled"),
    "exclamation marks": ("!" * 400, "garbled"),
    "dots": (". . . . . . . . . .", "garbled"),
    "two words": ("the bulb " * 30, "repeats itself"),
    "ha without blanks": ("ha" * 300, "repeats itself"),
    "ha with blanks": ("ha " * 300, "repeats itself"),
    "one letter": ("a" * 500, "repeats itself"),
    "one emoji": ("😂" * 100, "repeats itself"),
    "an English sentence": ("Water the bulbs once and wait for the spring. " * 8, "repeats itself"),
    "a Chinese sentence": ("我喜欢吃面包" * 60, "repeats itself"),
    "a Chinese sentence with stops": ("我喜欢吃面包。" * 60, "repeats itself"),
    "a Thai sentence": ("ฉันชอบกินขนมปัง" * 40, "repeats itself"),
    "a Japanese sentence": ("私はパンが好きです。" * 40, "repeats itself"),
    "a Hindi sentence": ("मुझे रोटी पसंद है। " * 40, "repeats itself"),
    "a paragraph, then a loop": (SONG + "and so on and so on " * 100, "repeats itself"),
    "a loop that is cut": ("The bulbs need water. " * 40 + "The bul", "repeats itself"),
    "a line of JSON": ('{"name": "tulip", "wet": true},\n' * 60, "repeats itself"),
    "zeros": ("0, " * 200, "repeats itself"),
    "a loop, then an end": ("Water the bulbs. " * 60 + "That is all that I can say of them.", "repeats itself"),
    "a loop with a counter": ("".join(f"{n}. Water the bulbs and wait.\n" for n in range(1, 80)), "repeats itself"),
    "few words in any order": (
        " ".join(["bulb", "water", "the"][n * n * 7 % 11 % 3] for n in range(1, 200)),
        "repeats itself",
    ),
    "text in a wrong encoding": (
        "Wartet nicht länger – gießt täglich für schöne Blüten!".encode().decode("cp1252"),
        "garbled",
    ),
}


def found(texts: Mapping[str, str]) -> dict[str, str | None]:
    """The reason why each of the answers is left out, if any, by its name."""
    asked = [{"request_id": name, "subject_id": name, "user": name, "sample": 0, "temperature": 1.0} for name in texts]
    answered = [{"request_id": name, "completion": text} for name, text in texts.items()]
    with tempfile.TemporaryDirectory() as folder:
        inputs = {"requests": make(REQUESTS, asked), "completions": make(COMPLETIONS, answered)}
        rows = select(screened(RESPONSES), Path(folder), "screened_responses", inputs, responder="r")
    return {row["id"]: row["reason"] for row in rows}


def false_drops() -> dict[str, str | None]:
    """Good answers that are left out, and why."""
    return {name: reason for name, reason in found(GOOD).items() if reason}


def misses() -> dict[str, str | None]:
    """Bad answers that are not left out for what is wrong with them, and why they are instead, if they are."""
    return {
        name: reason
        for name, reason in found({name: text for name, (text, _) in BAD.items()}).items()
        if reason != BAD[name][1]
    }


def main() -> None:
    """Print the mistakes and their number."""
    for kind, mistakes, forms in (("false drop", false_drops(), GOOD), ("miss", misses(), BAD)):
        for name in sorted(mistakes):
            print(f"{kind}: {name}")
        print(f"{len(mistakes)} of {len(forms)} forms: {kind}")


if __name__ == "__main__":
    main()
