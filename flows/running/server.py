"""The Prefect server that a run talks to: one that is configured, or a temporary one that Prefect starts for it.

In: Prefect's settings. Out: a server that lets this process in and, where it is a temporary one, nobody else. Grain: one process.
"""

import secrets

import httpx
from prefect import context
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_SERVER_API_AUTH_STRING

from infra.storage import shown
from tasks.errors import SafePairsError


def lock_temporary_server() -> None:
    """Have the temporary server, where no other one is configured, ask for a login that only this process knows.

    A server that is configured has a login of its own, or none.
    """
    # Of all threads, as no other context is; and not the environment, which all that is started inherits.
    ours = context.GLOBAL_SETTINGS_CONTEXT
    asked, given = ours.settings.server.api.auth_string, ours.settings.api.auth_string
    if not ours.settings.api.url and (not given or given != asked):
        login = f"safepairs:{secrets.token_urlsafe(24)}"
        settings = ours.settings.copy_with_update(
            updates={PREFECT_SERVER_API_AUTH_STRING: login, PREFECT_API_AUTH_STRING: login}
        )
        context.GLOBAL_SETTINGS_CONTEXT = context.SettingsContext(profile=ours.profile, settings=settings)


def start_server() -> None:
    """Have Prefect start its temporary server, where no other one is configured and it does not run yet.

    Raises:
        SafePairsError: it did not start, or the one that is configured does not answer or does not let this process in.
    """
    try:
        with get_client(sync_client=True) as client:
            client.hello()
    except (RuntimeError, httpx.HTTPError) as error:
        raise SafePairsError(said(error, PREFECT_API_URL.value())) from None


def said(error: Exception, url: str | None) -> str:
    """What a user is told of a server that cannot be used: of the one at `url`, or of the temporary one."""
    if url is None:
        return (
            "Prefect's temporary server did not start in time; run again when the machine is less busy, with a larger "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or with PREFECT_API_URL naming a server that runs"
        )
    status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
    if status == httpx.codes.UNAUTHORIZED:
        return f"the Prefect server {shown(url)} asks for a login; set PREFECT_API_AUTH_STRING to its user:password"
    what = f"says {status}" if status else "does not answer"
    return f"the Prefect server {shown(url)} {what}; mend it, or set PREFECT_API_URL to another one, or to none"
