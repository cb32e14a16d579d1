from marketplace.models.auction_round import AuctionRound
from marketplace.models.audit import AuditEntry
from marketplace.models.copy import Copy
from marketplace.models.dirty_mark import DirtyMark
from marketplace.models.feature import Feature
from marketplace.models.instance import Instance, InstanceEvent
from marketplace.models.keys import ApiKey, InstanceKey, SshKey
from marketplace.models.move import Move
from marketplace.models.notice import Notice
from marketplace.models.offer import Offer
from marketplace.models.registry_login import RegistryLogin
from marketplace.models.template import Template, TemplateVersion
from marketplace.models.user import User
from marketplace.models.webhook import Webhook, WebhookDelivery

__all__ = [
    "ApiKey",
    "AuctionRound",
    "AuditEntry",
    "Copy",
    "DirtyMark",
    "Feature",
    "Instance",
    "InstanceEvent",
    "InstanceKey",
    "Move",
    "Notice",
    "Offer",
    "RegistryLogin",
    "SshKey",
    "Template",
    "TemplateVersion",
    "User",
    "Webhook",
    "WebhookDelivery",
]
