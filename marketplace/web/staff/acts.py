"""Staff suspend machines and accounts, with a reason, and let them back."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from hijack.views import AcquireUserView
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from hosting.errors import HostingError
from hosting.models import Machine
from hosting.services.suspension import machine_restore, machine_suspend
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.services.suspensions import account_restore, account_suspend
from marketplace.web.impersonation import SINCE, may_impersonate
from marketplace.web.requests import UserRequest

REFUSALS = (MarketError, HostingError)


class ReasonForm(forms.Form):
    """Why, in words for whom it concerns."""

    reason = forms.CharField(
        max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}), help_text="Whoever it concerns reads this."
    )


class MachineReasonForm(ReasonForm):
    """The same for a machine."""

    evicts = forms.BooleanField(
        required=False,
        label="Stop what runs on it",
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Clients are told, their disks are kept. Otherwise they go on until they stop by themselves.",
    )


class SeeView(AcquireUserView):  # type: ignore[misc]  # hijack has no types
    """The library's, for the account in the address, which is the one that was checked and told: it would look for the
    account in the form."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super(AcquireUserView, self).dispatch(request, *args, **kwargs)
        return answer

    def get_object(self, _queryset: object = None) -> User:
        return get_object_or_404(User, pk=self.kwargs["pk"])

    def get_success_url(self) -> str:
        return reverse("instances")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().post(request, *args, **kwargs)
        request.session[SINCE] = timezone.now().isoformat()
        return answer


class PlainForm(forms.Form):
    """Nothing to fill in."""


def machine_suspend_page(request: UserRequest, pk: int) -> HttpResponse:
    """Ask for the reason, then keep the machine from the market."""
    machine = get_object_or_404(Machine, pk=pk)
    form = MachineReasonForm(_sent(request), initial={"reason": machine.suspended_reason})
    told = "Its offers vanish at once and nothing new begins on it. Its host is told why."
    return _act(
        request,
        form,
        lambda sent: machine_suspend(machine_id=pk, actor=request.user, now=timezone.now(), **sent),
        title=f"Suspend machine {machine}",
        told=told,
        back=("admin:hosting_machine_change", pk),
        done=f"Machine {pk} is suspended.",
    )


def machine_restore_page(request: UserRequest, pk: int) -> HttpResponse:
    """Let the machine back."""
    machine = get_object_or_404(Machine, pk=pk)
    return _act(
        request,
        PlainForm(_sent(request)),
        lambda _: machine_restore(machine_id=pk, actor=request.user, now=timezone.now()),
        title=f"Lift the suspension of machine {machine}",
        told=f"It was suspended because: {machine.suspended_reason or '(it is not suspended)'}",
        back=("admin:hosting_machine_change", pk),
        done=f"Machine {pk} may be rented again.",
    )


def account_suspend_page(request: UserRequest, pk: int) -> HttpResponse:
    """Ask for the reason, then lock the account out."""
    account = get_object_or_404(User, pk=pk)
    told = (
        "The account can't do anything any more: what it rents is stopped, with disks kept, its API keys are refused, "
        "its machines take nothing new, its payouts wait. Who rents on its machines goes on."
    )
    return _act(
        request,
        ReasonForm(_sent(request), initial={"reason": account.suspended_reason}),
        lambda sent: account_suspend(user_id=pk, actor=request.user, now=timezone.now(), **sent),
        title=f"Suspend {account.email}",
        told=told,
        back=("admin:marketplace_user_change", pk),
        done=f"{account.email} is suspended.",
    )


def account_restore_page(request: UserRequest, pk: int) -> HttpResponse:
    """Let the account back in."""
    account = get_object_or_404(User, pk=pk)
    return _act(
        request,
        PlainForm(_sent(request)),
        lambda _: account_restore(user_id=pk, actor=request.user, now=timezone.now()),
        title=f"Lift the suspension of {account.email}",
        told=f"It was suspended because: {account.suspended_reason or '(it is not suspended)'}",
        back=("admin:marketplace_user_change", pk),
        done=f"{account.email} can use the account again. Nothing starts by itself.",
    )


def account_see_page(request: UserRequest, pk: int) -> HttpResponse:
    """Ask for the reason, then see the site as the account does, until told to stop."""
    account = get_object_or_404(User, pk=pk)
    form = ReasonForm(_sent(request))
    form.fields["reason"].help_text = "For the audit log."
    may = may_impersonate(hijacker=request.user, hijacked=account)
    if request.method == "POST" and form.is_valid() and may:
        answer: HttpResponse = SeeView.as_view()(request, pk=pk)
        return answer
    if not may:
        form.add_error(None, "Staff and closed accounts can't be looked at this way.")
    told = "You will see pages as the account does, for an hour. Nothing can be changed, and secrets stay hidden."
    title, back = f"See the site as {account.email}", ("admin:marketplace_user_change", pk)
    return _form_page(request, form, {"title": title, "told": told, "back": back})


def _act(
    request: HttpRequest,
    form: forms.Form,
    act: Callable[[dict[str, Any]], object],
    *,
    title: str,
    told: str,
    back: tuple[str, int],
    done: str,
) -> HttpResponse:
    """Show the form; do it once it is sent and valid. A refusal of the service stands above the form."""
    if request.method == "POST" and form.is_valid():
        try:
            act(form.cleaned_data)
        except REFUSALS as refusal:
            form.add_error(None, refusal.message)
        else:
            messages.success(request, done)
            return redirect(*back)
    return _form_page(request, form, {"title": title, "told": told, "back": back})


def _sent(request: HttpRequest) -> QueryDict | None:
    """What was filled in, which may be nothing at all; None where the form is only asked for."""
    return request.POST if request.method == "POST" else None


def _form_page(request: HttpRequest, form: forms.Form, page: dict[str, object]) -> HttpResponse:
    context = admin.site.each_context(request) | page | {"form": form}
    return render(request, "admin/staff/act.html", context, status=422 if form.errors else 200)
