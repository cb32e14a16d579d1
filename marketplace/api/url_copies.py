"""Copies between an instance and a URL over the public API."""

from typing import Any, cast

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from hosting.models import Job
from marketplace.access import instance_for
from marketplace.api.schema import ANY_OBJECT, DONE
from marketplace.api.views import AccountView, caller
from marketplace.api.wire import Fields, reply
from marketplace.copy_list import url_jobs_of
from marketplace.domain.url_copies import DEFAULT_REGION, Direction, S3Object, UrlCopyRequest
from marketplace.services.url_copies import url_copy_begin, url_copy_cancel

_KNOWN = frozenset({"client_id", "direction", "path", "url", "s3"})
_S3_KNOWN = frozenset({"endpoint", "bucket", "key", "access_key", "secret_key", "region"})


class UrlCopies(AccountView):
    """Files that come from a URL or go to one, at the speed of the machine's line."""

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Copy a file between an instance and a URL")
    def put(self, request: Request, instance_id: int) -> HttpResponse:
        """``direction`` is download (to the instance, the default) or upload. ``path`` is the file in the instance; for
        a download it may be a folder. ``url`` is an http or https address, which may be presigned; or ``s3`` has
        endpoint, bucket, key, access_key, secret_key and region of an object in an S3-compatible store. Addresses and
        keys are kept encrypted until the copy is over, and are never shown."""
        fields = Fields(request.data)
        fields.refuse_unknown(_KNOWN)
        wanted = UrlCopyRequest(
            direction=cast("Direction", fields.text("direction", "download")),
            path=fields.text("path"),
            url=fields.text("url").strip(),
            s3=_s3(fields.object("s3")),
        )
        job = url_copy_begin(user=caller(request), instance_id=instance_id, request=wanted, now=timezone.now())
        return reply({"success": True, "copy_id": job.pk, "msg": f"The copy of instance {instance_id} has begun."})

    @extend_schema(responses=ANY_OBJECT, summary="Copies between an instance and URLs")
    def get(self, request: Request, instance_id: int) -> HttpResponse:
        """Those under way and those of the last day, the newest first."""
        instance = instance_for(caller(request), instance_id)
        return reply({"success": True, "copies": [_row(job) for job in url_jobs_of(instance)]})

    @extend_schema(request=ANY_OBJECT, responses=DONE, summary="Cancel a copy between an instance and a URL")
    def delete(self, request: Request, instance_id: int) -> HttpResponse:
        """``copy_id`` names it."""
        copy_id = int(Fields(request.data).number("copy_id", 0) or 0)
        ended = url_copy_cancel(user=caller(request), instance_id=instance_id, job_id=copy_id, now=timezone.now())
        return reply({"success": True, "msg": "Canceled." if ended else "It was over already."})


def _s3(body: dict[str, Any]) -> S3Object | None:
    if not body:
        return None
    fields = Fields(body)
    fields.refuse_unknown(_S3_KNOWN)
    return S3Object(
        endpoint=fields.text("endpoint").strip(),
        bucket=fields.text("bucket").strip(),
        key=fields.text("key"),
        access_key=fields.text("access_key").strip(),
        secret_key=fields.text("secret_key").strip(),
        region=fields.text("region", DEFAULT_REGION).strip() or DEFAULT_REGION,
    )


def _row(job: Job) -> dict[str, Any]:
    return {
        "copy_id": job.pk,
        "direction": job.arguments["direction"],
        "path": job.arguments["path"],
        "url": job.arguments["shown"],
        "state": job.state,
        "progress": job.progress,
        "msg": job.message or None,
        "error": job.reason or None,
        "start_date": job.asked_at.timestamp(),
        "end_date": job.ended_at.timestamp() if job.ended_at else None,
    }
