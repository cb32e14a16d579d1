from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    name = "marketplace"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from hosting import hooks  # noqa: PLC0415  # models can be imported only once all apps are loaded
        from marketplace.services.observing import InstanceHooks  # noqa: PLC0415  # likewise

        hooks.register(InstanceHooks())
