"""Staff's view of offers and instances, and of what belongs to accounts."""

from urllib.parse import urlsplit

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.admin_bases import ReadOnlyAdmin, ReadOnlyInline
from marketplace import admin_accounts, admin_audit, admin_features
from marketplace.admin_accounts import staff_of
from marketplace.models import (
    ApiKey,
    AuctionRound,
    Instance,
    InstanceEvent,
    Notice,
    Offer,
    SshKey,
    Template,
    Webhook,
    WebhookDelivery,
)
from marketplace.services.keys import api_key_revoke
from marketplace.services.lifecycle import instance_destroy, instance_stop
from marketplace.services.replay import round_holds
from marketplace.services.templates import template_moderate

__all__ = ["admin_accounts", "admin_audit", "admin_features"]
"""Django looks for this module only."""


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "name", "user", "created_at", "last_used_at", "revoked_at")
    search_fields = ("prefix", "user__email")
    exclude = ("key_hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke", permissions=["act"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.filter(revoked_at=None).select_related("user"):
            api_key_revoke(user=key.user, key_id=key.pk, now=timezone.now(), actor=staff_of(request))


@admin.register(SshKey)
class SshKeyAdmin(ReadOnlyAdmin):
    list_display = ("user", "key_type", "fingerprint", "comment", "created_at")
    search_fields = ("fingerprint", "user__email", "comment")


@admin.register(Offer)
class OfferAdmin(ReadOnlyAdmin):
    list_display = ("id", "machine", "num_gpus", "gpu_name", "gpu_micros_per_hour", "rentable", "rented", "retired_at")
    list_filter = ("rentable", "simulated", "gpu_name")
    search_fields = ("=id", "=machine__id", "gpu_name")


class InstanceEventInline(ReadOnlyInline):
    model = InstanceEvent
    fields = ("at", "kind", "from_state", "to_state", "actor", "reason", "message")
    ordering = ("-at", "-pk")
    list_select_related = ("actor",)


@admin.register(Instance)
class InstanceAdmin(ReadOnlyAdmin):
    list_display = ("id", "client", "machine", "num_gpus", "rental_type", "state", "state_since", "image")
    list_filter = ("state", "rental_type")
    search_fields = ("=id", "client__email", "=machine__id", "image")
    exclude = ("env", "onstart", "jupyter_token")  # a client's secrets are no business of staff's browsing
    inlines = (InstanceEventInline,)
    actions = ("stop", "destroy")

    @admin.action(description="Stop (disk kept)", permissions=["act"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Instance]) -> None:
        for pk in queryset.exclude(state__in=("destroying", "destroyed")).values_list("pk", flat=True):
            instance_stop(instance_id=pk, actor=staff_of(request), now=timezone.now())

    @admin.action(description="Destroy (disk removed)", permissions=["act"])
    def destroy(self, request: HttpRequest, queryset: QuerySet[Instance]) -> None:
        for pk in queryset.values_list("pk", flat=True):
            instance_destroy(instance_id=pk, actor=staff_of(request), now=timezone.now())


@admin.register(Template)
class TemplateAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "owner", "image", "private", "featured", "hidden", "updated_at", "deleted_at")
    list_filter = ("featured", "hidden", "private")
    search_fields = ("=id", "name", "hash_id", "owner__email")
    list_select_related = ("owner",)
    exclude = ("document",)  # a client's variables may be secrets
    actions = ("feature", "unfeature", "hide", "unhide")

    @admin.display(description="Image")
    def image(self, template: Template) -> str:
        return template.content.full_image

    @admin.action(description="Recommend", permissions=["act"])
    def feature(self, _request: HttpRequest, queryset: QuerySet[Template]) -> None:
        self._moderate(queryset, featured=True)

    @admin.action(description="Recommend no more", permissions=["act"])
    def unfeature(self, _request: HttpRequest, queryset: QuerySet[Template]) -> None:
        self._moderate(queryset, featured=False)

    @admin.action(description="Hide from all but the owner", permissions=["act"])
    def hide(self, _request: HttpRequest, queryset: QuerySet[Template]) -> None:
        self._moderate(queryset, hidden=True)

    @admin.action(description="Show again", permissions=["act"])
    def unhide(self, _request: HttpRequest, queryset: QuerySet[Template]) -> None:
        self._moderate(queryset, hidden=False)

    def _moderate(self, queryset: QuerySet[Template], **changes: bool) -> None:
        for pk in queryset.filter(deleted_at=None).values_list("pk", flat=True):
            template_moderate(template_id=pk, now=timezone.now(), **changes)


@admin.register(AuctionRound)
class AuctionRoundAdmin(ReadOnlyAdmin):
    list_display = ("at", "machine", "runs", "displaced", "same_again")
    search_fields = ("=machine__id",)
    list_select_related = ("machine",)
    date_hierarchy = "at"
    readonly_fields = ("same_again",)

    @admin.display(description="Decided the same again", boolean=True)
    def same_again(self, played: AuctionRound) -> bool:
        return round_holds(played)


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("at", "client", "instance", "kind", "subject", "mailed_at", "mail_attempts", "mail_given_up_at")
    list_filter = ("kind",)
    search_fields = ("client__email", "=instance__id", "subject")
    list_select_related = ("client", "instance")
    date_hierarchy = "at"


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    list_display = ("user", "host", "active", "last_success_at", "consecutive_failures", "last_error", "disabled_at")
    list_filter = ("active",)
    search_fields = ("user__email",)
    list_select_related = ("user",)
    exclude = ("url", "secret", "previous_secret")  # paths of such URLs are often secrets too
    readonly_fields = ("host",)

    @admin.display(description="Host")
    def host(self, webhook: Webhook) -> str:
        return urlsplit(webhook.url).hostname or ""


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "webhook",
        "event",
        "message_id",
        "attempts",
        "delivered_at",
        "next_attempt_at",
        "given_up_at",
        "last_error",
    )
    list_filter = ("event",)
    search_fields = ("webhook__user__email", "=message_id")
    list_select_related = ("webhook",)
    date_hierarchy = "created_at"
