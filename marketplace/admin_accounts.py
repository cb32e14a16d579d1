"""Accounts in the administration. Only superusers give rights and change what somebody signs in with: whoever could do
either would have every right there is."""

from typing import Any

from allauth.account.admin import EmailAddressAdmin as AllauthEmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.admin import Authenticator
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from billing.admin_bases import ReadOnlyAdmin, ReadOnlyInline
from hosting.admin_suspension import SuspensionActions
from marketplace.models import SshKey, User
from marketplace.services.accounts import account_change_note, account_facts
from marketplace.services.audit import audit_record
from marketplace.web.impersonation import may_impersonate

# Roles are fixed (marketplace.domain.roles). allauth's own pages, registered when they are imported above, let whoever
# has the permission replace an account's address, and show secrets of second factors: they make way for those below.
for model in (Group, EmailAddress, Authenticator):
    admin.site.unregister(model)


class SshKeyInline(ReadOnlyInline):
    model = SshKey
    fields = ("key_type", "fingerprint", "comment", "created_at")


@admin.register(User)
class UserAdmin(SuspensionActions, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg,misc]  # not subscriptable when run; unfold has no types
    suspends = "account"
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "full_name", "is_active", "suspended_at", "is_staff", "is_simulated", "date_joined")
    list_filter = ("is_active", ("suspended_at", admin.EmptyFieldListFilter), "is_staff", "groups", "is_simulated")
    search_fields = ("email", "full_name")
    ordering = ("email",)
    readonly_fields = (
        "date_joined",
        "last_login",
        "is_simulated",
        "host_agreement_accepted_at",
        "suspended_at",
        "suspended_reason",
    )
    inlines = (SshKeyInline,)
    fieldsets = (
        (None, {"fields": ("email", "password", "full_name")}),
        ("Rights", {"fields": ("is_active", "is_staff", "groups", "is_superuser")}),
        ("Suspension", {"fields": ("suspended_at", "suspended_reason")}),
        ("Facts", {"fields": ("date_joined", "last_login", "is_simulated", "host_agreement_accepted_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "password1", "password2")}),)
    actions_detail = ("timeline", "see", "suspend", "restore")

    def has_add_permission(self, request: HttpRequest, *_: object) -> bool:
        """Others sign up by themselves."""
        return staff_of(request).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Pages of staff are for superusers alone to change."""
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or not is_staff(obj) or staff_of(request).is_superuser)

    def has_delete_permission(self, _request: HttpRequest, *_: object) -> bool:
        """Its ledger stays; whoever has to go is suspended."""
        return False

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Without the password's digest and the way to set another for those who must not."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or staff_of(request).is_superuser:
            return fieldsets
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name != "password"]})
            for title, options in fieldsets
        ]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Roles are few: all are to be seen."""
        if db_field.name == "groups":
            options |= {"label": "Roles", "help_text": "What staff may do who are no superusers."}
            options["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_manytomany(db_field, request, **options)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str] | tuple[str, ...]:
        """All but the name for those who are no superusers."""
        if staff_of(request).is_superuser:
            return self.readonly_fields
        shown = [name for _, options in self.get_fieldsets(request, obj) for name in options["fields"]]
        return [name for name in shown if name != "full_name"]

    @transaction.atomic
    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002  # Django's name
        """Whoever sets a password can sign in with it."""
        if not staff_of(request).is_superuser:
            raise PermissionDenied
        before = User.objects.filter(pk=id).values_list("password", flat=True).first() if id.isdecimal() else None
        response: HttpResponse = super().user_change_password(request, id, form_url)
        if before is not None and not User.objects.filter(pk=id, password=before).exists():
            now = timezone.now()
            audit_record(action="password.set_by_staff", actor=staff_of(request), account_id=int(id), now=now)
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """As Django does it, after a look at what was there before."""
        form.before = account_facts(obj.pk) if change else {}
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Roles are rows of their own: what changed is known after these."""
        super().save_related(request, form, formsets, change)
        pk = form.instance.pk
        account_change_note(user_id=pk, before=form.before, actor=staff_of(request), now=timezone.now())

    @action(description="See the site as this account", url_path="see", icon="visibility", permissions=["see"])  # type: ignore[untyped-decorator]  # unfold's
    def see(self, _request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect("staff:account_see", object_id)

    def has_see_permission(self, request: HttpRequest, object_id: str | int | None = None) -> bool:
        """Whether the button is there."""
        return may_impersonate(hijacker=staff_of(request), hijacked=User.objects.filter(pk=object_id or 0).first())


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    """Addresses that accounts confirmed, and have yet to confirm."""

    list_display = ("email", "user", "primary", "verified")
    list_filter = ("primary", "verified")
    search_fields = ("email", "user__email")
    list_select_related = ("user",)
    actions = ("make_verified",)

    @admin.action(description="Mark as confirmed", permissions=["trusted"])
    def make_verified(self, request: HttpRequest, queryset: QuerySet[EmailAddress]) -> None:
        AllauthEmailAddressAdmin.make_verified(self, request, queryset)

    def has_trusted_permission(self, request: HttpRequest) -> bool:
        """Passwords are mailed to such addresses."""
        return staff_of(request).is_superuser


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """Second factors, without their secrets; deleting one lets an owner in who has lost it."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type", "created_at", "last_used_at")
    search_fields = ("user__email",)
    list_select_related = ("user",)
    exclude = ("data",)

    def has_delete_permission(self, request: HttpRequest, *_: object) -> bool:
        return staff_of(request).is_superuser

    def delete_model(self, request: HttpRequest, obj: Authenticator) -> None:
        actor, now = staff_of(request), timezone.now()
        super().delete_model(request, obj)
        audit_record(
            action="second_factor.removed", actor=actor, account_id=obj.user_id, message=str(obj.type), now=now
        )

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Authenticator]) -> None:
        for factor in queryset:
            self.delete_model(request, factor)


def staff_of(request: HttpRequest) -> User:
    """Who acts: the admin lets nobody in who is not logged in."""
    assert isinstance(request.user, User)  # noqa: S101  # for the type checker
    return request.user


def is_staff(account: User) -> bool:
    """Whether the account has anything to say here."""
    return account.is_staff or account.is_superuser
