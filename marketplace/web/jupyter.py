"""One click opens an instance's Jupyter."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from marketplace.access import instance_for
from marketplace.web.jupyter_view import jupyter_views
from marketplace.web.requests import UserRequest


@login_required
@require_GET
@never_cache
def open_jupyter(request: UserRequest, instance_id: int) -> HttpResponse:
    """Lead the owner's browser there, with the token that no page of ours and no log of ours holds."""
    view = jupyter_views([instance_for(request.user, instance_id)]).get(instance_id)
    if view is None or not view.can_open:
        messages.info(request, _why_not(view.note if view is not None else "This instance has no Jupyter."))
        return redirect("instance", instance_id)
    return HttpResponseRedirect(view.url, headers={"Referrer-Policy": "no-referrer"})


def _why_not(note: str) -> str:
    return note or "Jupyter can be opened while the instance runs."
