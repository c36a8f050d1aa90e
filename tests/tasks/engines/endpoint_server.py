"""A small OpenAI-compatible server on 127.0.0.1 that misbehaves as it is told by what it is asked."""

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.tasks.engines.odd_replies import ODD

BYTES_OF_DRIP = 1_000


@dataclass
class Endpoint:
    """Where the server listens, how often each question was asked, and the bodies it was sent.

    What is held back waits for the `gate`; `on_hold` is called before, for `drip` at each byte.
    """

    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    at_work: int = 0
    most_at_work: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    on_hold: Callable[[], None] = lambda: None


def logprobs(question: str) -> dict[str, object]:
    """Three tokens, of which the question's first letter is the only one that is not sure."""
    tokens = [("re: ", 1.0), (question[:1], 0.75), (question[1:], 1.0)]
    told = [{"token": text, "logprob": math.log(p), "bytes": None, "top_logprobs": list[str]()} for text, p in tokens]
    return {"content": told, "refusal": None}


def answer(question: str, times: int, told: bool = False) -> tuple[int, object]:
    """Status and body for a question that is asked for the so many-th time, `told` with log-probabilities."""
    if question == "bad request":
        return 400, {"error": {"message": f"cannot answer: {question}"}}
    if question == "always 503":
        return 503, {"error": {"message": "overloaded"}}
    if question == "busy twice" and times <= 2:
        return (429, 500)[times - 1], {"error": {"message": "later"}}
    choice: dict[str, object] = {"index": 0, "finish_reason": "stop"}
    choice |= {"message": {"role": "assistant", "content": f"re: {question}"}}
    choice |= {"logprobs": logprobs(question)} if told else {}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def by_question(body: dict[str, Any]) -> bytes | None:
    """The odd reply that a question names."""
    return ODD.get(body["messages"][-1]["content"])


@contextmanager
def endpoint(choose: Callable[[dict[str, Any]], bytes | None] = by_question) -> Iterator[Endpoint]:
    """Serve until the body ends; the question `hang` is not answered before that, and `drip` not as a whole.

    `choose` says which bytes are sent in place of an HTTP reply to a request, if any are.
    """
    served = Endpoint()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            question = body["messages"][-1]["content"]
            with lock:
                served.asked[question] += 1
                times = served.asked[question]
                served.bodies.append(body)
                served.keys.add(self.headers["Authorization"])
                served.at_work += 1
                served.most_at_work = max(served.most_at_work, served.at_work)
            if question == "hang":
                served.on_hold()
                served.gate.wait()
            status, said = answer(question, times, body.get("logprobs", False))
            with lock:
                served.at_work -= 1
            raw = choose(body)
            if raw is not None:
                self.wfile.write(raw)
                self.close_connection = True
                return
            if question == "drip":
                self.drip()
                return
            content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Retry-After-Ms", "1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def drip(self) -> None:
            """Send a reply a byte at a time, more of them than anybody has patience for."""
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.close_connection = True
            with suppress(OSError):
                for _ in range(BYTES_OF_DRIP):
                    self.wfile.write(b" ")
                    served.on_hold()
                    if served.gate.is_set():
                        return

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # as many requests come at once; one that finds no room is reset by the system

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
