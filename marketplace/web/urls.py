"""Pages of renters, and of everybody."""

from django.urls import path

from marketplace.web import account, bid, commands, help_page, instance_keys, instances, logs, rent, search, webhook

urlpatterns = [
    path("", search.search, name="search"),
    path("offers/<int:offer_id>/rent/", rent.rent, name="rent"),
    path("offers/<int:offer_id>/price/", rent.price, name="rent_price"),
    path("instances/", instances.instances, name="instances"),
    path("instances/cards/", instances.cards, name="instance_cards"),
    path("instances/<int:instance_id>/", instances.instance, name="instance"),
    path("instances/<int:instance_id>/live/", instances.live, name="instance_live"),
    path("instances/<int:instance_id>/logs/", logs.logs, name="instance_logs"),
    path("instances/<int:instance_id>/logs/tail/", logs.tail, name="instance_log_tail"),
    path("instances/<int:instance_id>/logs/request/", logs.ask, name="instance_log_request"),
    path("instances/<int:instance_id>/command/", commands.run, name="instance_command"),
    path("instances/<int:instance_id>/command/<int:job_id>/", commands.outcome, name="instance_command_outcome"),
    path("instances/<int:instance_id>/connect/", instances.connect, name="instance_connect"),
    path("instances/<int:instance_id>/start/", instances.start, name="instance_start"),
    path("instances/<int:instance_id>/stop/", instances.stop, name="instance_stop"),
    path("instances/<int:instance_id>/reboot/", instances.reboot, name="instance_reboot"),
    path("instances/<int:instance_id>/bid/", bid.bid, name="instance_bid"),
    path("instances/<int:instance_id>/bid/cost/", bid.cost, name="instance_bid_cost"),
    path("instances/<int:instance_id>/label/", instances.label, name="instance_label"),
    path("instances/<int:instance_id>/keys/", instance_keys.keys, name="instance_keys"),
    path("instances/<int:instance_id>/keys/<int:key_id>/detach/", instance_keys.detach, name="instance_key_detach"),
    path("instances/<int:instance_id>/destroy/", instances.destroy, name="instance_destroy"),
    path("account/", account.account, name="account"),
    path("account/profile/", account.profile, name="account_profile"),
    path("account/ssh-keys/", account.ssh_key_create, name="ssh_key_create"),
    path("account/ssh-keys/check/", instance_keys.check, name="ssh_key_check"),
    path("account/ssh-keys/<int:key_id>/delete/", account.ssh_key_remove, name="ssh_key_delete"),
    path("account/api-keys/", account.api_key_make, name="api_key_create"),
    path("account/api-keys/<int:key_id>/revoke/", account.api_key_end, name="api_key_revoke"),
    path("account/webhook/", webhook.save, name="webhook_save"),
    path("account/webhook/rotate/", webhook.rotate, name="webhook_rotate"),
    path("account/webhook/remove/", webhook.remove, name="webhook_remove"),
    path("account/webhook/test/", webhook.test, name="webhook_test"),
    path("account/webhook/deliveries/", webhook.deliveries, name="webhook_deliveries"),
    path("help/", help_page.help_page, name="help"),
]
