"""Logs and commands as the command-line client asks for them: an address first, the text there when it has come."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from marketplace.access import instance_with_log_for
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, PublicView, caller
from marketplace.api.wire import Fields, reply
from marketplace.errors import MarketError
from marketplace.job_results import Ticket, result_text, sign, ticket_of
from marketplace.services.commands import command_run
from marketplace.services.instance_logs import log_request

MOST_LINES = 100_000
MOST_FILTER_CHARS = 200
WORKING_DIRECTORY = "/root"
PENDING = 202
_TRUE = ("true", "1", "yes")


class RequestLogs(AccountView):
    """The log of an instance, for a while also after it was destroyed."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Ask for an instance's log")
    def put(self, request: Request, instance_id: int) -> HttpResponse:
        """``tail`` is a number of lines, ``filter`` a text that they contain, ``daemon_logs`` asks for what agent and
        marketplace did. The text is at ``result_url``, which needs no key, as soon as that answers 200."""
        user, fields, now = caller(request), Fields(request.data), timezone.now()
        of_daemon = _is_true(fields.get("daemon_logs"))
        instance = instance_with_log_for(user, instance_id, now)
        containing = fields.text("filter")
        if len(containing) > MOST_FILTER_CHARS:
            message = f"filter has at most {MOST_FILTER_CHARS} characters."
            raise MarketError("invalid_args", message, field="filter")
        last_lines = _lines(fields)
        job = None if of_daemon else log_request(instance=instance, client=user, now=now)
        ticket = Ticket(
            instance_id=instance.pk,
            job_id=job.pk if job else None,
            last_lines=last_lines,
            containing=containing,
            of_daemon=of_daemon,
        )
        return reply({"success": True, "result_url": result_url(request, ticket), "msg": "The log is being fetched."})


class RunCommand(AccountView):
    """A short command in an instance."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Run a short command in an instance")
    def put(self, request: Request, instance_id: int) -> HttpResponse:
        """In a running instance by its shell, as root; in one that does not run ls, du, rm, cat and a few more.

        The output is at ``result_url``, which needs no key, as soon as that answers 200.
        """
        user, fields = caller(request), Fields(request.data)
        job = command_run(instance_id=instance_id, client=user, command=fields.text("command"), now=timezone.now())
        ticket = Ticket(instance_id=instance_id, job_id=job.pk)
        return reply(
            {
                "success": True,
                "result_url": result_url(request, ticket),
                "writeable_path": WORKING_DIRECTORY,
                "msg": "The command is on its way.",
            }
        )


class Result(PublicView):
    """What was asked for, for whoever has the address."""

    @extend_schema(responses={200: str, PENDING: str}, summary="The text of a log or of a command's output")
    def get(self, request: Request, ticket: str) -> HttpResponse:
        """200 with the text, 202 as long as there is none. With ``?download=1`` browsers keep it as a file."""
        found = ticket_of(ticket)
        text = result_text(found)
        answer = HttpResponse(
            "Not there yet.\n" if text is None else text,
            content_type="text/plain; charset=utf-8",
            status=PENDING if text is None else 200,
        )
        answer["Cache-Control"] = "no-store"
        if request.query_params.get("download"):
            answer["Content-Disposition"] = f'attachment; filename="instance-{found.instance_id}.log"'
        return answer


def result_url(request: Request | HttpRequest, ticket: Ticket) -> str:
    """Absolute, at the host that was asked."""
    return request.build_absolute_uri(reverse("result", args=[sign(ticket)]))


def _is_true(value: object) -> bool:
    if value in (None, False, ""):
        return False
    if value is True or (isinstance(value, str) and value.lower() in _TRUE):
        return True
    if isinstance(value, str) and value.lower() in ("false", "0", "no"):
        return False
    raise MarketError("invalid_args", "daemon_logs is true or false.", field="daemon_logs")


def _lines(fields: Fields) -> int | None:
    found = fields.number("tail")
    if found is None:
        return None
    if found != int(found) or not 0 < found <= MOST_LINES:
        raise MarketError("invalid_args", f"tail is a number of lines from 1 to {MOST_LINES}.", field="tail")
    return int(found)
