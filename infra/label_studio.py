"""Talk to the API of a Label Studio server.

In: its address and a key: the old kind, or a personal access token. Out: projects, tasks in, annotations out.
"""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

Json = dict[str, Any]


class Access(TypedDict):
    """A short-lived token."""

    access: str


class Made(TypedDict):
    """A project that was made."""

    id: int


class Project(Made):
    """A project in a list."""

    title: str


class Projects(TypedDict):
    """A page of projects."""

    results: list[Project]
    count: int


class Task(TypedDict):
    """A task in a list."""

    id: int
    data: Json


class Tasks(TypedDict):
    """A page of tasks."""

    tasks: list[Task]
    total: int


ACCESS, MADE = TypeAdapter(Access), TypeAdapter(Made)
PROJECTS, TASKS = TypeAdapter(Projects), TypeAdapter(Tasks)
EXPORT: TypeAdapter[list[Json]] = TypeAdapter(list[Json])
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
ROWS_A_CALL = 100
TIMEOUT_SECONDS = 120.0


class LabelStudioError(Exception):
    """The server cannot be reached or refuses; the message is one line that names it."""


class PersonalToken(httpx.Auth):
    """A personal access token: it buys short-lived ones, a new one whenever the server asks for it."""

    requires_response_body = True

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token, self.access = url, token, ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Try with what is at hand, then with a new one."""
        if self.access:
            request.headers["Authorization"] = f"Bearer {self.access}"
        answered = yield request
        if answered.status_code == httpx.codes.UNAUTHORIZED:
            bought = yield httpx.Request("POST", f"{self.url}/api/token/refresh/", json={"refresh": self.token})
            if bought.status_code == httpx.codes.OK:
                self.access = access_in(bought.content)
                if self.access:
                    request.headers["Authorization"] = f"Bearer {self.access}"
                yield request  # the reply to it is what counts


def access_in(reply: bytes) -> str:
    """The short-lived token in a reply; where there is none the empty one, which the server refuses."""
    try:
        found = ACCESS.validate_json(reply)["access"]
    except ValidationError:
        return ""
    return found if re.fullmatch("[!-~]+", found) else ""


def connect(url: str, key: str) -> httpx.Client:
    """A client of the server at `url`."""
    url = url.rstrip("/")
    if key.count(".") == 2:  # a JSON Web Token
        return httpx.Client(base_url=url, auth=PersonalToken(url, key), timeout=TIMEOUT_SECONDS)
    return httpx.Client(base_url=url, headers={"Authorization": f"Token {key}"}, timeout=TIMEOUT_SECONDS)


def call(client: httpx.Client, method: str, path: str, shape: TypeAdapter[Any] = ANYTHING, **options: Any) -> Any:  # noqa: ANN401
    """What the server answers, in this shape; what it says of a fault stays out, it may quote what it was sent.

    Raises:
        LabelStudioError: the server cannot be reached, refuses, or answers with something else than JSON of this shape.
    """
    where = named(client)
    try:
        answered = client.request(method, path, **options)
    except httpx.HTTPError as error:
        raise LabelStudioError(f"{where}: cannot be reached: {type(error).__name__}; is it running?") from None
    if answered.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise LabelStudioError(f"{where}: refuses the key ({answered.status_code}); take one from its account page")
    try:
        return shape.validate_json(answered.raise_for_status().content)
    except (httpx.HTTPStatusError, ValidationError):
        kind = re.sub(r"[^\w/.;= -]", "?", answered.headers.get("content-type", ""))[:60]
        fault = f"{method} {path} gives {answered.status_code} {kind} that is not what it should be"
        raise LabelStudioError(f"{where}: {fault}; is it Label Studio 1.23? look into its log") from None


def named(client: httpx.Client) -> str:
    """The server, for people."""
    return f"Label Studio at {str(client.base_url).rstrip('/')}"


def pages(
    client: httpx.Client, path: str, shape: TypeAdapter[Any], rows: str, total: str, **asked: int
) -> Iterator[Json]:
    """All rows of an answer that comes in pages."""
    seen, before = 0, None
    for page in count(1):
        answered = call(client, "GET", path, shape, params={**asked, "page": page, "page_size": ROWS_A_CALL})
        if answered[rows] and answered[rows] == before:
            raise LabelStudioError(f"{named(client)}: gives one page of {path} again and again; look into its log")
        before = answered[rows]
        yield from answered[rows]
        seen += len(answered[rows])
        if seen >= answered[total] or not answered[rows]:
            return


def projects(client: httpx.Client) -> list[tuple[int, str]]:
    """The number and the title of each project, the oldest first."""
    return sorted(
        (found["id"], found["title"]) for found in pages(client, "/api/projects/", PROJECTS, "results", "count")
    )


def ensure_project(
    client: httpx.Client, title: str, interface: str, annotators: int, predictions_first: bool, hidden: Sequence[str]
) -> int:
    """Find or create the project of this title, and give it this labelling interface; say its number.

    Each task is offered until `annotators` people have done it. The list of tasks of a new project does not show the fields `hidden`.
    """
    settings = {
        "title": title,
        "label_config": interface,
        "maximum_annotations": annotators,
        "show_collab_predictions": predictions_first,
        "enable_empty_annotation": False,
    }
    found = next((number for number, other in projects(client) if other == title), None)
    if found is not None:
        call(client, "PATCH", f"/api/projects/{found}/", json=settings)
        return found
    made: int = call(client, "POST", "/api/projects/", MADE, json=settings)["id"]
    columns = [*(f"tasks:data.{field}" for field in hidden), "tasks:inner_id", "tasks:predictions_results"]
    view = {"title": "Default", "hiddenColumns": {"explore": columns, "labeling": columns}}
    call(client, "POST", "/api/dm/views/", json={"project": made, "data": view})
    return made


def held(client: httpx.Client, project: int, field: str) -> set[str]:
    """What the tasks of the project have under `field`."""
    tasks = pages(client, "/api/tasks/", TASKS, "tasks", "total", project=project)
    return {str(task["data"].get(field)) for task in tasks}


def add_tasks(client: httpx.Client, project: int, tasks: Sequence[Mapping[str, Any]], field: str) -> int:
    """Import those tasks that the project does not hold yet, told apart by `field` of their data; say how many."""
    known = held(client, project, field)
    missing = [task for task in tasks if task["data"][field] not in known]
    for start in range(0, len(missing), ROWS_A_CALL):
        call(client, "POST", f"/api/projects/{project}/import", json=missing[start : start + ROWS_A_CALL])
    return len(missing)


def export(client: httpx.Client, project: int) -> list[Json]:
    """All tasks of the project that have an annotation, with all their annotations."""
    found: list[Json] = call(client, "GET", f"/api/projects/{project}/export", EXPORT, params={"exportType": "JSON"})
    return found
