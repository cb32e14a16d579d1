"""Logins to image registries on the account page."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from hosting.domain.registries import Login, registry_name
from marketplace.errors import MarketError
from marketplace.services.registry_logins import registry_login_delete, registry_login_save
from marketplace.web.account import account_page
from marketplace.web.forms import RegistryLoginForm
from marketplace.web.requests import UserRequest


@sensitive_post_parameters("password")
@login_required
@require_POST
def save(request: UserRequest) -> HttpResponse:
    """Keep a login."""
    form = RegistryLoginForm(request.POST)
    if not form.is_valid():
        return account_page(request, registry_login_form=form, status=422)
    said = form.cleaned_data
    login = Login(
        registry=registry_name(said["registry"]), username=said["username"].strip(), password=said["password"]
    )
    try:
        kept = registry_login_save(user=request.user, login=login, now=timezone.now())
    except MarketError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return account_page(request, registry_login_form=form, status=422)
    messages.success(request, f"The login to {kept.registry} is kept, encrypted. It is not shown again.")
    return redirect("account")


@login_required
@require_POST
def delete(request: UserRequest, login_id: int) -> HttpResponse:
    """Forget a login."""
    registry_login_delete(user=request.user, login_id=login_id, now=timezone.now())
    messages.success(request, "The login is deleted. Instances that were rented with it go on.")
    return redirect("account")
