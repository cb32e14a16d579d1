from django.apps import AppConfig
from django.db.models.signals import post_migrate


class MarketplaceConfig(AppConfig):
    name = "marketplace"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from billing import hooks as billing_hooks  # noqa: PLC0415  # likewise
        from hosting import hooks  # noqa: PLC0415  # models can be imported only once all apps are loaded
        from marketplace.services.money_hooks import MoneyNotices  # noqa: PLC0415  # likewise
        from marketplace.services.observing import InstanceHooks  # noqa: PLC0415  # likewise
        from marketplace.web import security_signals  # noqa: PLC0415  # likewise

        hooks.register(InstanceHooks())
        billing_hooks.register(MoneyNotices())
        security_signals.connect()
        post_migrate.connect(_after_migrating, sender=self)


def _after_migrating(**_told: object) -> None:
    from marketplace.services.roles import roles_sync  # noqa: PLC0415  # likewise

    roles_sync()
