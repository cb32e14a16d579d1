"""Pages of instances: form in, service, page out. Refusals that belong to no field are answered by the middleware."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.selectors import disks_end_at
from hosting.market_prices import maintenance_of
from hosting.volumes import mounts_of
from marketplace import selectors
from marketplace.access import instance_for
from marketplace.copy_list import copies_of
from marketplace.errors import MarketError
from marketplace.models import Instance
from marketplace.move_offers import move_of
from marketplace.services.lifecycle import (
    instance_destroy,
    instance_label,
    instance_reboot,
    instance_start,
    instance_stop,
)
from marketplace.web.figures import history_context, instance_figures
from marketplace.web.forms import LabelForm
from marketplace.web.history import history
from marketplace.web.instance_view import InstanceView, instance_views
from marketplace.web.requests import UserRequest
from marketplace.web.ways import published_ports

EVENTS_SHOWN = 60


@login_required
@require_GET
def instances(request: UserRequest) -> HttpResponse:
    """All instances of the client."""
    return render(request, "marketplace/instances.html", _cards_context(request))


@login_required
@require_GET
def cards(request: UserRequest) -> HttpResponse:
    """The cards alone, for polling."""
    return render(request, "marketplace/_instance_cards.html", _cards_context(request))


def _cards_context(request: UserRequest) -> dict[str, Any]:
    now = timezone.now()
    views = instance_views(selectors.instances_of(request.user), now)
    return {
        "views": views,
        "destroyed": selectors.destroyed_with_logs(request.user, now),
        "disks_end_at": disks_end_at(request.user, now),
        "micros_per_hour": sum(view.micros_per_hour for view in views),
        "running": sum(view.instance.state == "running" for view in views),
    }


def _one(request: UserRequest, instance_id: int) -> InstanceView:
    return instance_views([instance_for(request.user, instance_id)], timezone.now())[0]


@login_required
@require_GET
def instance(request: UserRequest, instance_id: int) -> HttpResponse:
    """One instance: live state, configuration, history."""
    context = _instance_context(request, instance_id)
    view: InstanceView = context["view"]
    context |= history_context(view.instance, request.GET.get("period", ""), view.now)
    return render(request, "marketplace/instance.html", context)


@login_required
@require_GET
def live(request: UserRequest, instance_id: int) -> HttpResponse:
    """What changes on the page of one instance, for polling. Once it is gone, the browser goes to the list."""
    try:
        context = _instance_context(request, instance_id)
    except MarketError:
        messages.success(request, f"Instance {instance_id} is destroyed. Its log is kept for a day.")
        return HttpResponse(status=204, headers={"HX-Redirect": "/instances/"})
    return render(request, "marketplace/_instance_live.html", context)


def _instance_context(request: UserRequest, instance_id: int) -> dict[str, Any]:
    view = _one(request, instance_id)
    found = view.instance
    return {
        "view": view,
        "disks_end_at": disks_end_at(request.user, view.now),
        "copies": copies_of(found),
        "move": move_of(found),
        "figures": instance_figures(found),
        "history": history(found.events.order_by("-at", "-pk")[:EVENTS_SHOWN], request.user.pk),
        "ports": published_ports(found),
        "mounts": mounts_of(found.task),
        "maintenance": maintenance_of([found.machine_id], view.now),
    }


@login_required
@require_GET
def connect(request: UserRequest, instance_id: int) -> HttpResponse:
    """The dialog with the commands to log in and to copy files."""
    context = {"view": _one(request, instance_id), "has_key": selectors.ssh_keys_of(request.user).exists()}
    return render(request, "marketplace/connect.html", context)


@login_required
@require_POST
def start(request: UserRequest, instance_id: int) -> HttpResponse:
    """Start a stopped instance."""
    return _act(request, instance_id, instance_start, "starts as soon as its GPUs are free.")


@login_required
@require_POST
def stop(request: UserRequest, instance_id: int) -> HttpResponse:
    """Stop an instance and keep its disk."""
    return _act(request, instance_id, instance_stop, "is stopping. Its disk is kept.")


@login_required
@require_POST
def reboot(request: UserRequest, instance_id: int) -> HttpResponse:
    """Stop and start the container."""
    return _act(request, instance_id, instance_reboot, "is rebooting.")


@login_required
@require_http_methods(["GET", "POST"])
def destroy(request: UserRequest, instance_id: int) -> HttpResponse:
    """Ask, then end the contract and remove container and disk."""
    if request.method == "GET":
        return render(request, "marketplace/destroy.html", {"view": _one(request, instance_id)})
    return _act(request, instance_id, instance_destroy, "is being destroyed.")


@login_required
@require_http_methods(["GET", "POST"])
def label(request: UserRequest, instance_id: int) -> HttpResponse:
    """Name an instance."""
    found = instance_for(request.user, instance_id)
    form = LabelForm(request.POST or None, initial={"label": found.label})
    if request.method == "POST" and form.is_valid():
        try:
            instance_label(
                instance_id=found.pk, actor=request.user, label=form.cleaned_data["label"], now=timezone.now()
            )
        except MarketError as refusal:
            form.add_error("label", refusal.message)
        else:
            return changed(request)
    status = 422 if form.errors else 200
    return render(request, "marketplace/label.html", {"instance": found, "form": form}, status=status)


Action = Callable[..., Instance]


def _act(request: UserRequest, instance_id: int, action: Action, done: str) -> HttpResponse:
    found = instance_for(request.user, instance_id)
    now: datetime = timezone.now()
    action(instance_id=found.pk, actor=request.user, now=now)
    messages.success(request, f"Instance {found.pk} {done}")
    return changed(request)


def changed(request: UserRequest) -> HttpResponse:
    """The page that asked refreshes what it shows; without scripts, the list is shown."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Trigger": '{"dialog-close": {}, "instances-changed": {}}'})
    return redirect("instances")
